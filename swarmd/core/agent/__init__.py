"""A turn without its input and output: which mail wakes it, what its moves mean, what its prompt
says.
"""
