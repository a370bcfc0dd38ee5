"""Why a class has sunk: the runtime, the model, the data, or its labels."""
