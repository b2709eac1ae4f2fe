//! Where a verb computes.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::device::Device;
use crate::device::cuda::Cuda;
use crate::device::suite;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::ui::Ui;
use crate::verify::require_machine;

/// Where a verb computes.
#[derive(clap::Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Where to compute: the same bits everywhere. `auto` takes a GPU that passes its selftest, else the processor; several GPUs,
    /// as cuda:0,cuda:1, share out the groups of a batch
    #[arg(long, value_name = "auto|cpu|cuda[:N]", default_value = "cpu", help_heading = "Device", value_parser = list)]
    pub device: Choices,
}

/// What `--device` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A GPU where one serves, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

/// One device or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// The one that has the state.
    pub first: Choice,
    /// GPUs that take groups of its batches.
    pub beside: Vec<Choice>,
}

fn list(text: &str) -> std::result::Result<Choices, String> {
    let all = text.split(',').map(str::parse).collect::<std::result::Result<Vec<Choice>, String>>()?;
    let alone = |choice: &Choice| !matches!(choice, Choice::Cuda(_));
    match &all[..] {
        [_, _, ..] if all.iter().any(alone) => Err("expected GPUs alone where there are several".into()),
        several if (1..several.len()).any(|i| several[..i].contains(&several[i])) => {
            Err("expected each GPU once".into())
        }
        [first, beside @ ..] => Ok(Choices { first: *first, beside: beside.to_vec() }),
        [] => Err("expected a device".into()),
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Choice, String> {
        let number = |digits: &str| digits.parse().ok().filter(|n| *n < 1024).map(Choice::Cuda);
        match (text, text.strip_prefix("cuda:")) {
            ("auto", _) => Ok(Choice::Auto),
            ("cpu", _) => Ok(Choice::Cpu),
            ("cuda", _) => Ok(Choice::Cuda(0)),
            (_, Some(digits)) => number(digits).ok_or_else(|| "expected a GPU's number after cuda:".into()),
            _ => Err("expected auto, cpu, cuda or cuda:N".into()),
        }
    }
}

impl DeviceArgs {
    /// The device, once it has shown that it computes what every machine does. What it is called is said where it was chosen here.
    pub fn open(&self, ui: &Ui) -> Result<Device> {
        // Opened and tested once in a process, however many works it does.
        static OPENED: Mutex<Vec<(Choice, Device)>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = opened.iter().find(|(choice, _)| *choice == self.device.first) {
            return Ok(device.clone());
        }
        let device = self.choose(ui)?;
        opened.push((self.device.first, device.clone()));
        Ok(device)
    }

    /// The GPUs beside it.
    pub fn beside(&self) -> Result<Vec<Device>> {
        let number =
            |choice: &Choice| if let Choice::Cuda(number) = choice { gpu(*number) } else { unreachable!("checked") };
        self.device.beside.iter().map(number).collect()
    }

    fn choose(&self, ui: &Ui) -> Result<Device> {
        let host = Engine::detect();
        require_machine(host)?;
        match self.device.first {
            Choice::Cpu => Ok(host.into()),
            Choice::Cuda(number) => gpu(number),
            Choice::Auto => match gpu(0) {
                Ok(device) => {
                    ui.say(format!("computes on {}", device.name()));
                    Ok(device)
                }
                Err(error) => {
                    ui.say(format!("computes on the processor: {error}"));
                    Ok(host.into())
                }
            },
        }
    }
}

/// A GPU that computes what the host does.
fn gpu(number: usize) -> Result<Device> {
    let device = Device::new(Cuda::open(number)?);
    let mut wrong = Vec::new();
    suite::check(&device, 0, |name, differs| {
        wrong.extend(differs.map(|_| name));
        Ok(())
    })?;
    match wrong.is_empty() {
        true => Ok(device),
        false => Err(Error::new(
            Kind::Refused,
            format!("{}: computes other bits than the processor for {}", device.name(), wrong.join(", ")),
        )
        .hint(format!(
            "`l402 selftest --device cuda:{number}` shows what differs; --device cpu computes the right ones"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_people_name_them() {
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(Choice::Cuda(3)));
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        let two = Choices { first: Choice::Cuda(1), beside: vec![Choice::Cuda(0)] };
        assert_eq!(list("cuda:1,cuda"), Ok(two));
        assert!(["cpu,cuda", "cuda,cuda:0", "", "cuda,"].iter().all(|bad| list(bad).is_err()));
        for bad in ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "cuda:1024"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }
}
