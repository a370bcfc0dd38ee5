"""What a retraining learns from: aimed at the weak classes, with the gate left untouched."""
