"""What the fuzz targets share: how bytes become choices, what is made of them, what is watched."""
