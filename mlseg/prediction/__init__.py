"""Prediction with a trained run: masks and diagnoses of pictures, and outcomes of volumes."""
