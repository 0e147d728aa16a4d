"""Trains, calibrates and exports an Ask the Expert bundle."""
