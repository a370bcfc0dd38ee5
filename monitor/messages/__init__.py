"""The way of a message out of the house: channels, addresses, what services take, the postman."""
