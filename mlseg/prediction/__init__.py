"""Prediction with a trained run: its folder as a network, and the results for images and volumes."""
