"""How programs run on devices: the mesh, models side by side, and jobs of several processes.

- `sharding`: the mesh of devices, and how arrays are distributed over it;
- `model_axis`: a function of one model, applied to all models of a group;
- `cluster`, `processes`: which job this process belongs to, and how a job starts and ends;
- `runtime`, `compiler`: settings of JAX and the memory allocator, and options of XLA.
"""
