"""Tests trained runs on labelled data that they were not trained on."""
