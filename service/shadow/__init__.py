"""What a challenger says beside the champion's answers, in idle moments and in its own process."""
