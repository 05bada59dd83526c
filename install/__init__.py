"""How the toolkit is packed as one package, and how that is checked."""
