"""`gan search`: Optuna asks and is told, runs are trials. Optuna is imported only where it is used."""
