"""Trained models for others: the model card, the folder for the Hugging Face Hub, and the upload."""
