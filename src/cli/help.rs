//! What stands below the options in the help: examples that can be copied.

/// Of the whole program.
pub(super) const PROGRAM: &str = "\
Settings come from defaults, a file, the environment and flags, each above the one before.
In the environment, rabbitmq.prefetch is NEARCOPY__RABBITMQ__PREFETCH; with the suffix _FILE the
value is read from a file, as it should be for secrets:
  NEARCOPY__MONGODB__URL_FILE=/run/secrets/mongodb

Exit codes:
  0    done
  1    failed
  2    the arguments are not understood
  3    what was compared is not the same, or a plan would change something
  4    the manifest or the settings are wrong
  5    the broker, the database or an owner cannot be reached, or is not as it must be
  130  cut short by a second signal";

/// Of `run`.
pub(super) const RUN: &str = "\
Needs rabbitmq.url and mongodb.url. A first SIGTERM or Ctrl-C lets work under way end, a second one
cuts it off.

Example:
  export NEARCOPY__RABBITMQ__URL_FILE=/run/secrets/rabbitmq
  export NEARCOPY__MONGODB__URL_FILE=/run/secrets/mongodb
  nearcopy run /etc/nearcopy";

/// Of `check`.
pub(super) const CHECK: &str = "\
Examples:
  nearcopy check nearcopy.yaml           before a commit
  nearcopy check --online                before a deployment, with the addresses it will have
  nearcopy check --output json manifests/";

/// Of `init`.
pub(super) const INIT: &str = "\
Needs neither broker nor database. Events are CloudEvents in structured mode, JSON with type and
data, or bare. The draft goes to standard output; comments in it say what was guessed, and DECIDE
marks what only you can know. Values of events are never in it. What looks personal is left out.

Examples:
  nearcopy init --from-events events.jsonl > nearcopy.yaml
  nearcopy init --from-events events.jsonl --from-openapi users.openapi.yaml --exchange users
  nearcopy init --from-asyncapi users.asyncapi.yaml --from-openapi users.openapi.yaml";

/// Of `test`.
pub(super) const TEST: &str = "\
Beside x.yaml stands x.test.yaml:
  tests:
    - name: a renamed user reaches the products that show him
      given:
        documents: { products: [{ _id: p1, userId: u1 }] }
        owners: { users: { u1: { id: u1, version: 1, username: ann } } }
      events:
        - key: user.updated
          body: { type: user.updated, data: { id: u1, version: 2, username: bob } }
      then:
        documents:
          products: { p1: { userId: u1, user: { username: bob } } }
          users: { u1: { username: bob } }
Documents are compared whole, without _id and _nearcopy; null says that there is none. An owner
answers with the whole body, a 404 for who is left out, and not at all if nothing is given of it.
then.parked counts what is put aside (0 if it is left out), then.emitted has what rules tell.
Where nothing is left to chance, each event is worked through before the next one comes.

Ends with 1 if a test fails, with 4 if a file is wrong.

Examples:
  nearcopy test nearcopy.test.yaml
  nearcopy test manifests/ --shuffle --repeat 3
  nearcopy test manifests/ --shuffle --repeat 3 --seed 42";

/// Of `schema`.
pub(super) const SCHEMA: &str = "\
Example:
  nearcopy schema > manifest.schema.json
and, as the first line of a manifest, for completion in editors:
  # yaml-language-server: $schema=manifest.schema.json";

/// Of `openapi`.
pub(super) const OPENAPI: &str = "\
Example:
  nearcopy openapi nearcopy.yaml > replicas.openapi.json
It is OpenAPI 3.1. What runs serves the same at /openapi.json of read.listen.";

/// Of `status`.
pub(super) const STATUS: &str = "\
Needs mongodb.url, and rabbitmq.url for what waits in queues. It changes nothing.
Ends with 1 where something needs a person, and says which command helps; with 5 where the database
cannot be reached.

Examples:
  nearcopy status
  nearcopy status --output json | jq '.needs[]'";

/// Of `explain`.
pub(super) const EXPLAIN: &str = "\
Needs mongodb.url. It changes nothing, and shows no values without --values. What was done lately is
asked of the pod at admin.listen, or of those that --pod names: each remembers its last events in
memory (explain.remember), and none knows what others did.

Examples:
  nearcopy explain users 42              what is held of a user, what brought it, what is still to come
  nearcopy explain products p1 user.name why a product shows that name, or does not
  nearcopy explain products p1           all that embeds write there
  nearcopy explain foos f7               where a document of a read model stands
  nearcopy explain users 42 --pod http://10.0.0.7:9464 --pod http://10.0.0.8:9464";

/// Of `parked`.
pub(super) const PARKED: &str = "\
Needs mongodb.url. Examples:
  nearcopy parked list --replica users
  nearcopy parked retry --dry-run
  nearcopy parked list --output json | jq -r '.[].reason' | sort | uniq -c";

/// Of `read-model`.
pub(super) const READ_MODEL: &str = "\
Needs mongodb.url and rabbitmq.url; run it while the sidecars run. A rebuild folds into <name>.next
and replaces the served documents in one instant, at the very event at which they stand: no reader
sees less than before. For about as long as it takes to compare and copy all documents nothing new
is folded. What was served before stays in <name>.before until the next rebuild. An event that
cannot be folded ends a rebuild, and nothing is replaced. Where the stream was made anew, or cut off
beyond what is folded, --anew serves what can be folded of it now. With --key one document is folded
anew in memory and replaced; nothing of it is kept for an undo.

Examples:
  nearcopy read-model rebuild foos --dry-run
  nearcopy read-model rebuild foos
  nearcopy read-model rebuild foos --key f7
  nearcopy read-model undo foos";

/// Of `plan`.
pub(super) const PLAN: &str = "\
Needs mongodb.url; changes nothing. Numbers are the database's own estimates. Ends with 3 where
anything would change, so that a pipeline can stop and ask.

Examples:
  nearcopy plan nearcopy.yaml
  nearcopy plan --output json manifests/ | jq '.replicas[].personal'";

/// Of `diff`.
pub(super) const DIFF: &str = "\
Needs mongodb.url; changes nothing, and may run while the sidecars run. Whatever differs is looked at
again after fetch.settle: only what differs then, too, is told. Fields are named, values are not.
With fetch.list, whoever the owner lists and nothing is known of is told, too, unless ids are given.
Ends with 3 where anything differs.

Examples:
  nearcopy diff users --sample 5
  nearcopy diff users 42 43
  nearcopy diff users --per-second 50 --output json";

/// Of `reconcile`.
pub(super) const RECONCILE: &str = "\
Needs mongodb.url, and sidecars at work: these ask the owner about whoever differs, by the rules by
which they always do. Documents are brought in line at once.

Examples:
  nearcopy reconcile users --dry-run
  nearcopy reconcile users
  nearcopy reconcile users 42";

/// Of `backfill`.
pub(super) const BACKFILL: &str = "\
Needs mongodb.url, and sidecars at work: these ask the owner. No more than 2,000 are wanted at a
time. It can be cut off with Ctrl-C and begun anew: who is held, or wanted, is passed over. With keep:
referenced, who is named and nobody refers to is kept for reads.wanted.

With --all the owner's list is walked through, and what it says is written under the same guards
as events are: nothing newer is undone. How far it came is noted after each page, and the next walk
goes on from there. With keep: all, a sidecar does so by itself once. With keep: referenced, only
who is wanted already is taken from the list.

Examples:
  nearcopy backfill users --all --dry-run
  nearcopy backfill users --all --per-second 200
  nearcopy backfill users --references --dry-run
  nearcopy backfill users --ids ids.txt
  psql -Atc 'select id from users' | nearcopy backfill users --ids -";

/// Of `rebase`.
pub(super) const REBASE: &str = "\
Needs mongodb.url; run it while the sidecars run, once the owner answers from the restored state
everywhere. From then on, what happened before TIME loses against what happened after it, whatever
the versions, and the owner is asked about every record. Repeating it does no harm.

Examples:
  nearcopy rebase users --at 2026-03-01T12:00:00Z --dry-run
  nearcopy rebase users --at 2026-03-01T12:00:00Z
  rabbitmqctl purge_queue shop.users && nearcopy rebase users --at 2026-03-01T12:00:00Z --purged";

/// Of `erase`.
pub(super) const ERASE: &str = "\
Needs mongodb.url; the sidecars may run. Have the owner erase it first. The record becomes a
tombstone at its version, documents that refer to it show nothing of it whatever when_deleted says,
parked events of it are removed, and then it is looked whether anything is left. Where there is no
record, a tombstone is left only for a --version, and not with keep: referenced.
Ends with 1 where something is left, or the entity has come back meanwhile.

Examples:
  nearcopy erase users 42 --dry-run
  nearcopy erase users 42 --yes --output json > receipt.json";

/// Of `settings`.
pub(super) const SETTINGS: &str = "\
Example:
  nearcopy settings --settings nearcopy.toml | grep -v 'the defaults$'";

/// Of `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  nearcopy completions bash > /etc/bash_completion.d/nearcopy
  nearcopy completions zsh > ~/.zfunc/_nearcopy
  nearcopy completions fish > ~/.config/fish/completions/nearcopy.fish";
