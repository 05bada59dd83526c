"""Recordings from xeno-canto: searched by its API, downloaded one by one, with who may use them how."""
