"""Many runs on the same images: the small experiment, and the search for better options."""
