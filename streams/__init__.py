"""What comes in: the topics, the event log behind them, and the Faust agents that hand its records on in batches."""
