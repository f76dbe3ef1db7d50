"""Planning from laws: forecasts, targets, budgets, subsets, and the page where people look."""
