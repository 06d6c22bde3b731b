"""Which runs to do, and where: recipes (*.yaml), and the machinery that carries them out."""
