//! What differs from seed to seed: the declaration, the sizes, the rhythm, and how much goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nearcopy::pipeline::Rhythm;
use nearcopy::replication::Declaration;

use crate::chance::Chance;
use crate::declared::declared;

/// Which users are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    Where,
    Referenced,
}

/// How the owner can be asked, and what its versions are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It cannot.
    Never,
    /// Its answers carry a version.
    Versioned,
    /// Its events carry a version, its answers none.
    Unversioned,
    /// It has no versions at all: events only say that it must be asked.
    Versionless,
}

/// What the owner's events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The full state.
    Full,
    /// Only that something changed.
    Notices,
    /// Now this, now that.
    Both,
}

/// Where and how documents show a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object beside the reference.
    Object,
    /// Single values beside the reference.
    Flat,
    /// An object beside the reference in each element of an array.
    Elements,
}

/// What is shown of a user who is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Keep,
    Clear,
    Mark,
    Delete,
}

/// One embed: its collection is named after its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) shape: Shape,
    pub(crate) policy: Policy,
}

/// How much goes wrong, in a thousand each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// Effects on the store that fail before, fail after, or take long.
    pub(crate) store: u64,
    /// Questions that come to nothing.
    pub(crate) owner: u64,
    /// Effects that are a pod's last.
    pub(crate) crash: u64,
    /// Steps of the stage hands at which a pod is paused for a while.
    pub(crate) pause: u64,
    /// Steps at which a connection to the broker is cut.
    pub(crate) cut: u64,
    /// Reads that are answered by a deposed primary.
    pub(crate) deposed: u64,
    /// Leases that two pods hold at once.
    pub(crate) leases: u64,
    /// Looks at a change stream that end it.
    pub(crate) streams: u64,
    /// Messages that are published twice.
    pub(crate) duplicates: u64,
    /// Messages that nobody can read.
    pub(crate) poison: u64,
}

/// One run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a run has or has not")]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kept: Kept,
    pub(crate) asked: Asked,
    pub(crate) style: Style,
    pub(crate) in_batches: bool,
    pub(crate) settle: Duration,
    pub(crate) reconcile: Option<Duration>,
    pub(crate) cloud_events: bool,
    pub(crate) shown: Vec<Shown>,
    pub(crate) pods: usize,
    pub(crate) prefetch: usize,
    pub(crate) rhythm: Rhythm,
    pub(crate) users: u64,
    pub(crate) documents: u64,
    /// The owner changes contents under an unchanged version now and then.
    pub(crate) ties: bool,
    /// The owner says nothing about some changes.
    pub(crate) silence: bool,
    pub(crate) lasts: Duration,
    pub(crate) trouble: Trouble,
}

const POLICIES: [Policy; 4] = [Policy::Keep, Policy::Clear, Policy::Mark, Policy::Delete];

impl Plan {
    /// The run of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let chance = Chance::new(seed, "plan");
        let kept = chance.pick(&[Kept::All, Kept::Where, Kept::Referenced, Kept::Referenced]);
        let asked = chance.pick(&[
            Asked::Versioned,
            Asked::Versioned,
            Asked::Unversioned,
            Asked::Versionless,
            Asked::Never,
        ]);
        let style = match asked {
            Asked::Never => Style::Full,
            _ => chance.pick(&[Style::Full, Style::Notices, Style::Both]),
        };
        let reconcile = (asked != Asked::Never && chance.happens(400)).then(|| chance.between(5_000, 20_000));
        Self {
            seed,
            kept,
            asked,
            style,
            in_batches: chance.happens(500),
            settle: Duration::from_millis(chance.pick(&[200, 1_000, 3_000])),
            reconcile,
            cloud_events: chance.happens(300),
            shown: shown(&chance),
            pods: chance.pick(&[1, 2, 2, 3]),
            prefetch: chance.pick(&[1, 3, 20]),
            rhythm: rhythm(&chance),
            users: 2 + chance.below(4),
            documents: 3 + chance.below(4),
            ties: chance.happens(400),
            silence: reconcile.is_some() && chance.happens(500),
            lasts: chance.between(5_000, 16_000),
            trouble: Trouble::of(&chance),
        }
    }

    /// The name of an embed's collection, which is its own name, too.
    pub(crate) fn collection(shown: Shown) -> &'static str {
        match shown.shape {
            Shape::Object => "products",
            Shape::Flat => "bookings",
            Shape::Elements => "articles",
        }
    }

    /// What the plan declares.
    pub(crate) fn declaration(&self) -> Arc<Declaration> {
        static READ: OnceLock<Mutex<BTreeMap<String, Arc<Declaration>>>> = OnceLock::new();
        let text = self.manifest();
        let mut read = READ.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        read.entry(text.clone()).or_insert_with(|| declared(&text)).clone()
    }

    fn manifest(&self) -> String {
        let keep = match self.kept {
            Kept::All => "all",
            Kept::Where => "{ where: \"data.country == 'DE'\" }",
            Kept::Referenced => "referenced",
        };
        let format = if self.cloud_events { "format: cloudevents" } else { "format: json" };
        let version = if self.asked == Asked::Versionless { "" } else { "version: data.version" };
        let changed = if self.asked == Asked::Never { "" } else { "user.changed: refresh" };
        format!(
            "service: shop
sources:
  users:
    rabbitmq: {{ exchange: users, queue: shop.users, bindings: [\"user.#\"] }}
    {format}
replicas:
  users:
    owner: user-service
    source: users
    keep: {keep}
    id: data.id
    {version}
    fields: {{ name: data.name, email: data.contact.email }}
    on:
      user.saved: upsert
      user.deleted: delete
      {changed}
    {}
embeds:{}
",
            self.fetch(),
            self.shown.iter().map(|shown| embed(*shown)).collect::<String>()
        )
    }

    fn fetch(&self) -> String {
        let version = match self.asked {
            Asked::Never => return String::new(),
            Asked::Versioned => ", version: version",
            Asked::Unversioned | Asked::Versionless => "",
        };
        let batch =
            if self.in_batches { "batch: \"http://owner/users?ids={ids}\"\n      batch_size: 3" } else { "" };
        let reconcile =
            self.reconcile.map(|every| format!("reconcile: {}ms", every.as_millis())).unwrap_or_default();
        format!(
            "fetch:
      url: \"http://owner/users/{{id}}\"
      {batch}
      concurrency: 2
      timeout: 1s
      settle: {}ms
      {reconcile}
      from: {{ id: id{version} }}",
            self.settle.as_millis()
        )
    }
}

/// The scenario that is played again and again with one fault: everything happens in it, and nothing goes wrong.
pub(crate) fn rich() -> Plan {
    let of = |shape, policy| Shown { shape, policy };
    Plan {
        kept: Kept::Referenced,
        asked: Asked::Versioned,
        style: Style::Both,
        in_batches: true,
        settle: Duration::from_millis(200),
        reconcile: None,
        cloud_events: false,
        shown: vec![
            of(Shape::Object, Policy::Delete),
            of(Shape::Flat, Policy::Mark),
            of(Shape::Elements, Policy::Clear),
        ],
        pods: 2,
        prefetch: 3,
        rhythm: Rhythm {
            batch: 3,
            in_flight: 2,
            sweep_every: Duration::from_millis(1_000),
            retire_grace: Duration::from_millis(300),
            retire_every: Duration::from_millis(1_000),
            drift_every: Duration::from_secs(3_600),
        },
        users: 3,
        documents: 3,
        ties: true,
        silence: false,
        lasts: Duration::from_millis(3_500),
        trouble: Trouble { poison: 50, duplicates: 200, ..Trouble::default() },
        ..Plan::of(1)
    }
}

impl Trouble {
    /// Whether nothing goes wrong between a pod and its store.
    pub(crate) fn is_calm(&self) -> bool {
        [self.store, self.crash, self.pause, self.deposed, self.leases].iter().all(|rate| *rate == 0)
    }

    fn of(chance: &Chance) -> Self {
        let some = |often: u64, rates: &[u64]| if chance.happens(often) { chance.pick(rates) } else { 0 };
        Self {
            store: some(600, &[5, 20, 80]),
            owner: some(600, &[50, 300]),
            crash: some(600, &[2, 6, 15]),
            pause: some(500, &[100, 300]),
            cut: some(500, &[100, 300]),
            deposed: some(400, &[50, 200]),
            leases: some(300, &[100, 500]),
            streams: some(300, &[10, 50]),
            duplicates: some(600, &[50, 300]),
            poison: some(300, &[50]),
        }
    }
}

fn shown(chance: &Chance) -> Vec<Shown> {
    let all = [Shape::Object, Shape::Flat, Shape::Elements];
    let first = chance.index(3);
    let count = chance.pick(&[1, 1, 2, 3]);
    let shapes = (0..count).map(|at| all[(first + at) % 3]);
    let policy = |shape| match chance.pick(&POLICIES) {
        // A document does not go because of one element of an array.
        Policy::Delete if shape == Shape::Elements => Policy::Clear,
        policy => policy,
    };
    shapes.map(|shape| Shown { shape, policy: policy(shape) }).collect()
}

fn rhythm(chance: &Chance) -> Rhythm {
    Rhythm {
        batch: chance.pick(&[1, 3, 100]),
        in_flight: chance.pick(&[1, 2, 4]),
        sweep_every: Duration::from_millis(chance.pick(&[500, 1_000, 2_500])),
        retire_grace: Duration::from_millis(chance.pick(&[500, 3_000])),
        retire_every: Duration::from_millis(chance.pick(&[2_000, 5_000])),
        drift_every: Duration::from_secs(chance.pick(&[5, 3_600])),
    }
}

fn embed(shown: Shown) -> String {
    let name = Plan::collection(shown);
    let (reference, shows) = match shown.shape {
        Shape::Object => ("userId", "into: user"),
        Shape::Flat => ("userId", "set: { userName: name, userEmail: email }"),
        Shape::Elements => ("people[].userId", "into: user"),
    };
    let policy = format!("{:?}", shown.policy).to_lowercase();
    format!(
        "
  {name}:
    in: {name}
    ref: \"{reference}\"
    from: users
    {shows}
    when_deleted: {policy}"
    )
}
