"""From images to weights: a whole network, a head on a frozen one, a champion that learns on."""
