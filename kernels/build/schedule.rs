//! A list scheduler for straight-line code on vectors of doubles, with its register allocation.
//!
//! A kernel is written as a graph of operations on values; the scheduler finds their order and their registers. Each step
//! takes, of the operations whose operands are there, the one of the lowest rank; if there is none, the one whose operands
//! come first. One operation a step; latencies are in steps.
//!
//! Groups are numbered in the order in which they end. Beside the oldest that is not done only the next one is open, lest
//! there be more values than registers. What does not fit goes to the stack.

use std::fmt::Write;

const REGISTERS: usize = 16;
/// Steps from a multiply-add to its result, and from a sum.
const MULTIPLY_ADD: usize = 7;
const SUM: usize = 4;
/// Registers that stay free when an operation out of order wants one more.
const RESERVE: usize = 2;

/// A value, or a vector in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    Value(usize),
    Leaf(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b + c`.
    MulAdd,
    /// `a b - c`.
    MulSub,
    /// `c - a b`.
    NegatedMulAdd,
    /// `a` to memory.
    Store,
}

struct Node {
    operation: Operation,
    operands: Vec<Operand>,
    /// Where it stores.
    to: String,
    group: usize,
    rank: usize,
}

struct Leaf {
    place: String,
    /// What writes it.
    after: Option<usize>,
}

/// A vector in memory, and what writes it if this graph does.
#[derive(Clone)]
pub struct Place {
    pub text: String,
    after: Option<usize>,
}

impl Place {
    pub fn new(text: String) -> Self {
        Self { text, after: None }
    }
}

/// Operations, each after its operands.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    /// Of the operations to come.
    pub group: usize,
    pub rank: usize,
}

impl Graph {
    /// A vector in memory. Uses of the same leaf may share one load.
    pub fn leaf(&mut self, place: &Place) -> Operand {
        self.leaves.push(Leaf { place: place.text.clone(), after: place.after });
        Operand::Leaf(self.leaves.len() - 1)
    }

    fn node(&mut self, operation: Operation, operands: &[Operand], to: &str) -> Operand {
        let (operands, to) = (operands.to_vec(), to.to_owned());
        self.nodes.push(Node { operation, operands, to, group: self.group, rank: self.rank });
        Operand::Value(self.nodes.len() - 1)
    }

    pub fn add(&mut self, a: Operand, b: Operand) -> Operand {
        self.node(Operation::Add, &[a, b], "")
    }

    pub fn sub(&mut self, a: Operand, b: Operand) -> Operand {
        self.node(Operation::Sub, &[a, b], "")
    }

    /// `a b + c`, rounded once.
    pub fn mul_add(&mut self, a: Operand, b: Operand, c: Operand) -> Operand {
        self.node(Operation::MulAdd, &[a, b, c], "")
    }

    /// `a b - c`, rounded once.
    pub fn mul_sub(&mut self, a: Operand, b: Operand, c: Operand) -> Operand {
        self.node(Operation::MulSub, &[a, b, c], "")
    }

    /// `c - a b`, rounded once.
    pub fn negated_mul_add(&mut self, a: Operand, b: Operand, c: Operand) -> Operand {
        self.node(Operation::NegatedMulAdd, &[a, b, c], "")
    }

    /// Stores a value, and gives the place as one to load from.
    pub fn store(&mut self, value: Operand, to: &str) -> Place {
        self.node(Operation::Store, &[value], to);
        Place { text: to.to_owned(), after: Some(self.nodes.len() - 1) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nothing,
    Value(usize),
    Leaf(usize),
}

impl From<Operand> for Holder {
    fn from(operand: Operand) -> Self {
        match operand {
            Operand::Value(value) => Self::Value(value),
            Operand::Leaf(leaf) => Self::Leaf(leaf),
        }
    }
}

struct Scheduler<'a> {
    graph: &'a Graph,
    /// Of values and of leaves: the operations that take them.
    value_uses: Vec<Vec<usize>>,
    leaf_uses: Vec<Vec<usize>>,
    /// Steps at which results are there, of operations that are done.
    done: Vec<Option<usize>>,
    registers: [Holder; REGISTERS],
    /// When a register was last given up.
    freed: [usize; REGISTERS],
    /// Operands of the operation at hand.
    locked: [bool; REGISTERS],
    /// What lies on the stack, and where it does.
    stack: Vec<Option<usize>>,
    first_slot: usize,
    lines: usize,
    text: String,
}

/// Orders a graph and writes it. Values without a register go to the stack, from vector `first_slot` on; gives the text and
/// the number of vectors of stack that it takes in all.
pub fn schedule(graph: &Graph, first_slot: usize) -> (String, usize) {
    let n = graph.nodes.len();
    let mut scheduler = Scheduler {
        graph,
        value_uses: vec![Vec::new(); n],
        leaf_uses: vec![Vec::new(); graph.leaves.len()],
        done: vec![None; n],
        registers: [Holder::Nothing; REGISTERS],
        freed: [0; REGISTERS],
        locked: [false; REGISTERS],
        stack: Vec::new(),
        first_slot,
        lines: 0,
        text: String::new(),
    };
    for (i, node) in graph.nodes.iter().enumerate() {
        for operand in &node.operands {
            match *operand {
                Operand::Value(value) => scheduler.value_uses[value].push(i),
                Operand::Leaf(leaf) => scheduler.leaf_uses[leaf].push(i),
            }
        }
    }
    let mut waiting: Vec<usize> = (0..n).collect();
    let mut now = 0;
    while let Some(oldest) = waiting.iter().map(|i| graph.nodes[*i].group).min() {
        let next = scheduler.choose(&waiting, oldest, now);
        let ready = scheduler.ready(next).expect("its operands are done");
        now = now.max(ready);
        scheduler.issue(next);
        let latency = match graph.nodes[next].operation {
            Operation::Add | Operation::Sub => SUM,
            Operation::Store => 1,
            _ => MULTIPLY_ADD,
        };
        scheduler.done[next] = Some(now + latency);
        now += usize::from(graph.nodes[next].operation != Operation::Store);
        waiting.retain(|i| *i != next);
    }
    (scheduler.text, first_slot + scheduler.stack.len())
}

impl Scheduler<'_> {
    fn choose(&self, waiting: &[usize], oldest: usize, now: usize) -> usize {
        let open = || {
            let near = waiting.iter().copied().filter(|i| self.graph.nodes[*i].group <= oldest + 1);
            near.filter_map(|i| self.ready(i).map(|ready| (i, ready)))
        };
        let first = open().next().expect("an operation whose operands are done").0;
        open()
            .filter(|(i, _)| self.admits(*i, *i == first))
            .min_by_key(|(i, ready)| (ready.saturating_sub(now), self.graph.nodes[*i].rank, *i))
            .map_or(first, |(i, _)| i)
    }

    /// When its operands are there, if all of them are done.
    fn ready(&self, i: usize) -> Option<usize> {
        self.graph.nodes[i].operands.iter().try_fold(0, |latest, operand| {
            let maker = match *operand {
                Operand::Value(value) => Some(value),
                Operand::Leaf(leaf) => self.graph.leaves[leaf].after,
            };
            maker.map_or(Some(latest), |maker| self.done[maker].map(|at| latest.max(at)))
        })
    }

    /// Whether there are registers enough.
    fn admits(&self, i: usize, first: bool) -> bool {
        let node = &self.graph.nodes[i];
        if node.operation == Operation::Store || node.operands.iter().any(|operand| self.dies(*operand)) {
            return true;
        }
        let factors_away = node.operands.len() == 3 && node.operands[..2].iter().all(|o| self.register(*o).is_none());
        self.available(node) >= 1 + usize::from(factors_away) + if first { 0 } else { RESERVE }
    }

    /// Registers that are free, or hold what memory holds too.
    fn available(&self, node: &Node) -> usize {
        let is_open = |holder: &&Holder| match holder {
            Holder::Nothing => true,
            Holder::Value(_) => false,
            Holder::Leaf(leaf) => !node.operands.contains(&Operand::Leaf(*leaf)),
        };
        self.registers.iter().filter(is_open).count()
    }

    fn register(&self, operand: Operand) -> Option<usize> {
        self.registers.iter().position(|holder| *holder == operand.into())
    }

    /// Uses that are not done.
    fn uses(&self, holder: Holder) -> impl Iterator<Item = usize> + '_ {
        let uses = match holder {
            Holder::Nothing => &[][..],
            Holder::Value(value) => &self.value_uses[value],
            Holder::Leaf(leaf) => &self.leaf_uses[leaf],
        };
        uses.iter().copied().filter(|i| self.done[*i].is_none())
    }

    /// Whether the operation at hand is the last to want this value, and finds it in a register.
    fn dies(&self, operand: Operand) -> bool {
        matches!(operand, Operand::Value(_))
            && self.uses(operand.into()).count() == 1
            && self.register(operand).is_some()
    }

    /// A register for the operation at hand: free, or emptied.
    fn allocate(&mut self) -> usize {
        let open = || (0..REGISTERS).filter(|r| !self.locked[*r]);
        let next_use = |r: &usize| self.uses(self.registers[*r]).next().unwrap_or(usize::MAX);
        let register = open()
            .filter(|r| self.registers[*r] == Holder::Nothing)
            .min_by_key(|r| self.freed[*r])
            .or_else(|| open().filter(|r| matches!(self.registers[*r], Holder::Leaf(_))).max_by_key(next_use))
            .or_else(|| open().max_by_key(next_use))
            .expect("an operation has fewer operands than there are registers");
        if let Holder::Value(value) = self.registers[register]
            && !self.stack.contains(&Some(value))
        {
            let slot = self.stack.iter().position(Option::is_none).unwrap_or(self.stack.len());
            self.stack.resize(self.stack.len().max(slot + 1), None);
            self.stack[slot] = Some(value);
            let place = self.slot(slot);
            self.put(format!("vmovapd {place}, ymm{register}"));
        }
        self.registers[register] = Holder::Nothing;
        self.locked[register] = true;
        register
    }

    fn slot(&self, slot: usize) -> String {
        format!("[rsp + {}]", 32 * (self.first_slot + slot))
    }

    fn put(&mut self, line: String) {
        self.lines += 1;
        writeln!(self.text, "{line}").expect("a string takes all");
    }

    /// A register, or a place in memory.
    fn text(&self, operand: Operand) -> String {
        match (self.register(operand), operand) {
            (Some(register), _) => format!("ymm{register}"),
            (None, Operand::Leaf(leaf)) => self.graph.leaves[leaf].place.clone(),
            (None, Operand::Value(value)) => {
                let slot = self.stack.iter().position(|held| *held == Some(value));
                self.slot(slot.expect("a value is in a register or on the stack"))
            }
        }
    }

    /// A copy in a register of its own.
    fn copy(&mut self, operand: Operand) -> usize {
        let register = self.allocate();
        let from = self.text(operand);
        self.put(format!("vmovapd ymm{register}, {from}"));
        register
    }

    /// The operand itself in a register.
    fn load(&mut self, operand: Operand) -> usize {
        self.register(operand).unwrap_or_else(|| {
            let register = self.copy(operand);
            self.registers[register] = operand.into();
            register
        })
    }

    /// Gives up what nothing uses after this operation.
    fn release(&mut self, i: usize) {
        for operand in &self.graph.nodes[i].operands {
            if self.uses((*operand).into()).any(|other| other != i) {
                continue;
            }
            if let Some(register) = self.register(*operand) {
                self.registers[register] = Holder::Nothing;
                self.freed[register] = self.lines;
            }
            if let Operand::Value(value) = *operand {
                self.stack.iter_mut().filter(|held| **held == Some(value)).for_each(|held| *held = None);
            }
        }
    }

    fn issue(&mut self, i: usize) {
        let node = &self.graph.nodes[i];
        for operand in &node.operands {
            if let Some(register) = self.register(*operand) {
                self.locked[register] = true;
            }
        }
        let register = match node.operation {
            Operation::Store => {
                let register = self.load(node.operands[0]);
                self.put(format!("vmovapd {}, ymm{register}", node.to));
                self.release(i);
                None
            }
            Operation::Add => Some(self.sum("vaddpd", i)),
            Operation::Sub => Some(self.sum("vsubpd", i)),
            Operation::MulAdd => Some(self.product("vfmadd", i)),
            Operation::MulSub => Some(self.product("vfmsub", i)),
            Operation::NegatedMulAdd => Some(self.product("vfnmadd", i)),
        };
        if let Some(register) = register
            && !self.value_uses[i].is_empty()
        {
            self.registers[register] = Holder::Value(i);
        }
        self.locked = [false; REGISTERS];
    }

    fn sum(&mut self, name: &str, i: usize) -> usize {
        let node = &self.graph.nodes[i];
        let (mut a, mut b) = (node.operands[0], node.operands[1]);
        if node.operation == Operation::Add && self.register(a).is_none() {
            std::mem::swap(&mut a, &mut b);
        }
        let (first, mut into) = match self.register(a) {
            Some(register) => (register, None),
            None => {
                let register = self.copy(a);
                (register, Some(register))
            }
        };
        let second = self.text(b);
        for operand in [a, b] {
            if into.is_none() && self.dies(operand) {
                into = self.register(operand);
            }
        }
        let into = into.unwrap_or_else(|| self.allocate());
        self.release(i);
        self.put(format!("{name} ymm{into}, ymm{first}, {second}"));
        into
    }

    fn product(&mut self, name: &str, i: usize) -> usize {
        let node = &self.graph.nodes[i];
        let (mut a, mut b, c) = (node.operands[0], node.operands[1], node.operands[2]);
        // One factor has to be in a register; both are, if there is room, when they have further use.
        for operand in [a, b] {
            let again = self.uses(operand.into()).count() > 1;
            if again && self.register(operand).is_none() && self.available(node) > 0 {
                self.load(operand);
            }
        }
        if self.register(a).is_none() {
            std::mem::swap(&mut a, &mut b);
        }
        self.load(a);
        let into = if self.dies(c) {
            let into = self.register(c).expect("a value that dies is in a register");
            self.put(format!("{name}231pd ymm{into}, {}, {}", self.text(a), self.text(b)));
            into
        } else {
            if self.dies(b) {
                std::mem::swap(&mut a, &mut b);
            }
            let in_register = [b, c].map(|operand| self.register(operand).is_some());
            if a != b && self.dies(a) && in_register != [false, false] {
                let into = self.register(a).expect("a value that dies is in a register");
                // What may be in memory comes last.
                let line = match in_register[0] {
                    true => format!("{name}213pd ymm{into}, {}, {}", self.text(b), self.text(c)),
                    false => format!("{name}132pd ymm{into}, {}, {}", self.text(c), self.text(b)),
                };
                self.put(line);
                into
            } else {
                let into = self.copy(c);
                let (a, b) = if self.register(a).is_some() { (a, b) } else { (b, a) };
                self.put(format!("{name}231pd ymm{into}, {}, {}", self.text(a), self.text(b)));
                into
            }
        };
        self.release(i);
        into
    }
}
