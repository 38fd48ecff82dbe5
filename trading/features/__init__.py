"""Market features, computed one event at a time: the same code live and in replay. No feature decides to trade."""
