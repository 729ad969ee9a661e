"""The rack: which rigs there are, who holds them, and how they are opened."""
