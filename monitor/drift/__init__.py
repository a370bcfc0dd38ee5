"""Whether a day's predictions still look like those the version was made for."""
