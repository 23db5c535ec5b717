"""Weightings whose parameters are learned beside the network, by an optimiser of their own."""
