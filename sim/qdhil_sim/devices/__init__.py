"""The simulated instruments: what their commands do, and the physics behind them."""
