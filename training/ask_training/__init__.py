"""Trains, calibrates and exports an Ask the Expert bundle."""

import os

# Onnxruntime reads this when it is loaded. Without it, it sends telemetry and writes to the home folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
