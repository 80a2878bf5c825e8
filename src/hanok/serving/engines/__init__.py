"""The engines, one file each. `serving.table` names them."""
