"""Models, one file each, built by name; their snapshots, layers and exports. Nothing here knows files of sound."""
