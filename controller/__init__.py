"""Routes, lanes and counters of every switch, and the Ryu application that carries them."""
