"""How the machine itself is: services, monitor, queue, database, versions."""
