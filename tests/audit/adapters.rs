//! Runs that train an adapter.

use crate::folder::{audit, equal, flips, names, played_adapter};

#[test]
fn a_run_of_an_adapter_is_equal_and_an_altered_byte_names_its_artifact() {
    let world = played_adapter(2);
    for depth in ["", "--replay all"] {
        let said = equal(&world, depth);
        assert!(said.contains("6 updates, 6 of them count"), "{said}");
    }
    for file in
        ["theta-1/adapter_model.safetensors", "theta-1/adapter_config.json", "theta-0/adapter_model.safetensors"]
    {
        flips(&world, file, 12, "", |_| false);
    }
    flips(&world, "base/model.safetensors", 12, "", |_| false);

    // Another model of the same shape.
    world.ok("init --config config.json --seed 9 -o other");
    world.write("pub/base/model.safetensors", &world.bytes("other/model.safetensors"));
    names(&audit(&world, ""), "base/model.safetensors", "another model");
}
