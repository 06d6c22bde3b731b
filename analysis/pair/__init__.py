"""Two runs side by side: what differs between them, and on which test images they disagree; as text, table and page.

May import: read, statistics, show.
"""
