"""Whether the traffic still looks like what the model was made for."""
