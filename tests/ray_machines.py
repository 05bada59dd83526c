"""Two machines of a Ray cluster on this one, each with one core; the second is killed by a word on standard input.

    python -m tests.ray_machines

prints the address; the machines end with the input.
"""

import sys

from ray.cluster_utils import Cluster

SIZE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**SIZE, "include_dashboard": False})
    second = cluster.add_node(**SIZE)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(second, allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
