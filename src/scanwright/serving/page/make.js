// Elements, made of properties and children.

// A new element with properties, classes and children; text is only ever set as text.
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name in node && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// A square of a colour, for legends and tables.
export function swatch(colour) {
  const node = make("span", { class: "swatch", "aria-hidden": "true" });
  node.style.backgroundColor = colour ?? "transparent";
  return node;
}
