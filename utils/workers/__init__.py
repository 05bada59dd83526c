"""Work on many recordings in worker processes of this machine or of a Ray cluster; `fanout.fan_out` is the door."""
