"""birdclef-jax where it is installed: the scripts, `config`, `utils` and `experiments` are all inside this package.

In the repository they stay beside this folder; docs/architecture.md says how the one becomes the other.
"""
