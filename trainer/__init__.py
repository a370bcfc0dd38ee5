"""The trainer: fits, exports, retrains, and puts challengers to the gate."""
