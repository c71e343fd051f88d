"""Two commits of the service beside each other: `python -m benchmarks.compare` is the command.

`checkouts` puts each into a folder, `rounds` measures both in turn, `counting` counts the instructions of each where
the machine gives them (`workload` is what is counted), and `verdicts` says whether there is a difference.
"""
