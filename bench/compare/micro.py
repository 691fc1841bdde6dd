"""The micro-benchmarks of bench/micro."""
import json

import peer

PROGRAMS = ["record", "compress", "codec", "log", "metadata"]


def run(setup):
    if not setup.has_google_benchmark():
        raise peer.Skip("Google Benchmark is not installed (libbenchmark-dev)")
    rows = []
    for name in PROGRAMS:
        program = setup.make(f"bench_{name}")
        seconds = "0.05" if setup.options.quick else "0.3"
        ran = peer.run([program, "--benchmark_format=json", f"--benchmark_min_time={seconds}"], timeout=900, cwd=setup.folder)
        for one in json.loads(ran.text)["benchmarks"]:
            time = one["real_time" if one["name"].endswith("/real_time") else "cpu_time"]
            to_ns = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[one["time_unit"]]
            rows.append({"group": name, "name": one["name"].removesuffix("/real_time"), "ns": time * to_ns,
                         "bytes_per_second": one.get("bytes_per_second"), "items_per_second": one.get("items_per_second")})
        print(f"  {name}: done", flush=True)
    return {"rows": rows}
