# What a person types. Everything else is cargo.
.DEFAULT_GOAL := help
.PHONY: help demo test model simulate chaos bench bench-read bench-replay bench-publish instructions fuzz openapi pictures chart check deny services-up services-down

services = tests/services up && urls=$$(tests/services env) && eval "$$urls"

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .toolchain ## two services, nearcopy between them, and every promise checked live (KEEP=1 leaves all up)
	@cargo build --release --bin nearcopy --example user_service --example product_service --example demo
	@$(services) && target/release/examples/demo $(if $(KEEP),--keep)

test: .toolchain ## every test, upon a real RabbitMQ and MongoDB
	@$(services) && { tests/services chromium >/dev/null || true; } && if cargo nextest --version >/dev/null 2>&1; then cargo nextest run; else cargo test; fi

model: .toolchain ## every interleaving of the protocol in the small, and what breaks when a guard is taken out
	@cargo run --quiet --release --example model

simulate: .toolchain ## the real pipeline under seeded faults, in virtual time (SEEDS=2000, SEED=n replays one)
	@cargo run --quiet --release --example simulate -- $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000))

chaos: .toolchain ## real processes, killed, paused and cut off, judged by an oracle (KILLS=20, MINUTES=10, SEED=n; or SCENARIO=read-model, hot-entity, outage, failover, lifecycle; MEMBERS=1 for hot-entity)
	@cargo build --quiet --release --bin nearcopy --example chaos
	@target/release/examples/chaos --kills $(or $(KILLS),20) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(MEMBERS),--members $(MEMBERS))

bench: .toolchain ## how fast it is, beside others that do the same (BENCH_ROUNDS=3, BENCH_EVENTS=200000, BENCH_ONLY=throughput,latency)
	@cargo build --quiet --profile dist --bin nearcopy --example bench --example raw
	@$(services) && target/dist/examples/bench $(if $(BENCH_ROUNDS),--rounds $(BENCH_ROUNDS)) $(if $(BENCH_EVENTS),--events $(BENCH_EVENTS)) $(if $(BENCH_ONLY),--only $(BENCH_ONLY)) $(if $(BENCH_CONTENDERS),--contenders $(BENCH_CONTENDERS))

bench-read: .toolchain ## how fast replicas are read by REST and gRPC, beside the driver, and what a thousand cost who watch (BENCH_ROUNDS=5)
	@cargo build --quiet --profile dist --bin nearcopy --example bench
	@$(services) && target/dist/examples/bench --reads --rounds $(or $(BENCH_ROUNDS),5)

bench-replay: .toolchain ## how fast a read model is folded from a stream, beside the least program that does the same (EVENTS=1000000)
	@cargo build --quiet --profile dist --bin nearcopy --example bench
	@$(services) && target/dist/examples/bench --only replay --replay $(or $(EVENTS),1000000)

bench-publish: .toolchain ## put the results of the last whole bench into README.md and benches/
	@cargo run --quiet --profile dist --example bench -- --publish

instructions: .toolchain ## the instructions an event costs, beside what they were (ACCEPT=1 writes down what they are)
	@cargo build --quiet --release --example instructions
	@tests/services valgrind >/dev/null && target/release/examples/instructions $(if $(ACCEPT),--accept)

fuzz: .toolchain ## what must hold of any bytes, sought by coverage in every reader (FUZZ_SECONDS=60, FUZZ="event url")
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	@tests/fuzz/run $(FUZZ)

openapi: .toolchain ## whatever can be asked for by REST, and whatever cannot: no answer is another than is described (EXAMPLES=50)
	@cargo build --quiet --bin nearcopy
	@$(services) && tests/openapi

pictures: .toolchain ## the pictures of the console in README.md, taken anew
	@$(services) && CONSOLE_PICTURES=src/api/console cargo test --test system -- a_person_sees_how_everything_stands

chart: .toolchain ## the charts, the alerts and the image: rendered, validated, refused what is wrong, built and run (PART=charts needs no compiler; UPDATE=1 accepts what is rendered)
	@$(if $(UPDATE),UPDATE=1) tests/chart/run $(PART)

check: .toolchain deny ## formatting, lints, licences and sources of the dependencies
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@# Once more as it is shipped: what only tests depend on lends it features of its own dependencies.
	cargo clippy --bin nearcopy -- -D warnings

deny: .toolchain
	@cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
	cargo deny --log-level error --config .deny.toml check licenses bans sources

services-up: ## start RabbitMQ and MongoDB, or find them again
	@tests/services up && tests/services env

services-down: ## stop them
	@tests/services down

.PHONY: .toolchain
.toolchain:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
