"""What engines and storages cost: `python -m benchmarks.cluster --help`."""
