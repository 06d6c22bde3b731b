"""The report as one self-contained page: build (-> HTML), figures (the pictures), histograms (from TensorBoard's
events), page.html, page.css, plots.js (draws them) and page.js.

May import: read, statistics, model, and what else is in show.
"""
