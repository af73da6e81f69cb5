//! What images have in common: those that begin with another's layers stand on it.

use std::collections::HashSet;

use types::Digest;

use super::{ImageSummary, history};
use crate::{Engine, error::EngineError};

/// Layers, the images that consist of just these and those below, and what stands on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// None where several images begin alike and no image ends.
    pub image: Option<ImageSummary>,
    /// What it adds to the layers of the node below, lowest first.
    pub layers: Vec<LayerSummary>,
    /// What stands on it, in the order of names.
    pub above: Vec<Node>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSummary {
    pub diff_id: Digest,
    /// The sizes of all files.
    pub size: u64,
    /// The step of a build that added it, if its author says.
    pub created_by: String,
}

impl Node {
    /// The sizes of the layers it adds.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// By what it is found among its neighbours: its name, or the first of those that stand on it.
    fn name(&self) -> String {
        match &self.image {
            Some(image) => image.names.iter().chain(&image.digests).next().map(|name| name.familiar()),
            None => self.above.first().map(Node::name),
        }
        .unwrap_or_default()
    }
}

/// An image and its layers, lowest first.
#[derive(Debug, Clone)]
pub struct Layered {
    pub image: ImageSummary,
    pub layers: Vec<LayerSummary>,
}

impl Engine {
    /// All images with their layers. Those that took fewer steps to make come first: the others may be made of them.
    pub fn layered_images(&self) -> Result<Vec<Layered>, EngineError> {
        let mut layered: Vec<(usize, Layered)> = Vec::new();
        for image in self.list_images()?.into_iter().rev() {
            let found = self.unless_removed(&image.manifest, || {
                let stored = self.images.image(&image.manifest)?;
                let sizes = self.images.layer_sizes(&stored)?;
                Ok((stored, sizes))
            });
            let Some((stored, sizes)) = found? else { continue };
            let steps = history::entries(&stored.config.history, &sizes);
            let mut steps = steps.into_iter().filter(|step| step.adds_layer);
            let layers = stored.layers.iter().zip(sizes).map(|(layer, size)| LayerSummary {
                diff_id: layer.diff_id,
                size,
                created_by: steps.next().map(|step| step.created_by).unwrap_or_default(),
            });
            let layers = layers.collect();
            layered.push((stored.config.history.len(), Layered { image, layers }));
        }
        layered.sort_by_key(|(steps, _)| *steps);
        Ok(layered.into_iter().map(|(_, layered)| layered).collect())
    }
}

/// The images as trees, in the order of names. Of images with the same layers, the others stand on the first.
pub fn trees(images: &[Layered]) -> Vec<Node> {
    let without_layers = images.iter().filter(|image| image.layers.is_empty());
    let mut nodes: Vec<Node> = without_layers.map(Layered::leaf).collect();
    nodes.extend(branches(images.iter().collect(), 0));
    in_order(nodes)
}

/// The nodes of images that have their lowest `depth` layers in common, for what they have above.
fn branches(images: Vec<&Layered>, depth: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut left: Vec<&Layered> = images.into_iter().filter(|image| image.layers.len() > depth).collect();
    while let Some(first) = left.first().copied() {
        let (alike, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|image| image.layers[depth].diff_id == first.layers[depth].diff_id);
        left = others;
        let is_common = |at: usize| {
            alike
                .iter()
                .all(|image| image.layers.get(at).is_some_and(|l| l.diff_id == first.layers[at].diff_id))
        };
        let height = (depth..first.layers.len()).take_while(|at| is_common(*at)).count() + depth;
        let mut ending = alike.iter().filter(|image| image.layers.len() == height);
        let image = ending.next().map(|image| image.image.clone());
        let mut above: Vec<Node> = ending.map(|image| image.leaf()).collect();
        above.extend(branches(alike.clone(), height));
        nodes.push(Node { image, layers: first.layers[depth..height].to_vec(), above: in_order(above) });
    }
    nodes
}

impl Layered {
    /// A node of its own that adds nothing.
    fn leaf(&self) -> Node {
        Node { image: Some(self.image.clone()), layers: Vec::new(), above: Vec::new() }
    }
}

fn in_order(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.sort_by_cached_key(Node::name);
    nodes
}

/// Of each image, the sizes of the layers that another image has as well.
pub fn shared_sizes(images: &[Layered]) -> Vec<u64> {
    let (mut once, mut again) = (HashSet::new(), HashSet::new());
    for image in images {
        let layers: HashSet<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        again.extend(layers.into_iter().filter(|layer| !once.insert(*layer)));
    }
    let shared = images.iter().map(|image| {
        image.layers.iter().filter(|layer| again.contains(&layer.diff_id)).map(|layer| layer.size).sum()
    });
    shared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of layers that are called by letters and are 1 byte each.
    fn image(name: &str, layers: &str) -> Layered {
        let digest = Digest::of(name.as_bytes());
        Layered {
            image: ImageSummary {
                id: digest,
                manifest: digest,
                created: jiff::Timestamp::UNIX_EPOCH,
                size: layers.len() as u64,
                names: vec![name.parse().unwrap()],
                digests: Vec::new(),
            },
            layers: layers
                .chars()
                .map(|layer| LayerSummary {
                    diff_id: Digest::of(layer.to_string().as_bytes()),
                    size: 1,
                    created_by: layer.to_string(),
                })
                .collect(),
        }
    }

    fn show(nodes: &[Node]) -> String {
        let show = |node: &Node| {
            let layers: String = node.layers.iter().map(|layer| layer.created_by.as_str()).collect();
            let name =
                node.image.as_ref().map_or("", |image| image.names[0].path().trim_start_matches("library/"));
            let above =
                if node.above.is_empty() { String::new() } else { format!("({})", show(&node.above)) };
            format!("{name}+{layers}{above}")
        };
        nodes.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    fn check(images: &[(&str, &str)], expected: &str) {
        let images: Vec<_> = images.iter().map(|(name, layers)| image(name, layers)).collect();
        assert_eq!(show(&trees(&images)), expected);
    }

    #[test]
    fn images_stand_on_those_whose_layers_they_begin_with() {
        check(
            &[("base", "a"), ("app", "abc"), ("tool", "ad"), ("other", "x")],
            "base+a(app+bc tool+d) other+x",
        );
        check(&[("one", "abc"), ("two", "abcd"), ("three", "abcde")], "one+abc(two+d(three+e))");
    }

    #[test]
    fn images_that_only_begin_alike_have_a_nameless_one_below() {
        check(&[("z", "abc"), ("b", "abd"), ("k", "y")], "+ab(b+d z+c) k+y");
    }

    #[test]
    fn of_images_with_the_same_layers_the_first_is_below() {
        check(&[("base", "ab"), ("app", "ab"), ("cmd", "ab"), ("more", "abc")], "base+ab(app+ cmd+ more+c)");
        check(&[("empty", ""), ("void", ""), ("app", "a")], "app+a empty+ void+");
    }

    #[test]
    fn what_another_image_has_as_well_is_shared() {
        let images = [image("a", "xy"), image("b", "xyz"), image("c", "z"), image("d", "qq")];
        assert_eq!(shared_sizes(&images), [2, 3, 1, 0]);
    }
}
