"""Prediction with a trained run, of images and volumes."""
