// Elements, made and changed. Texts become text nodes, never markup.

/** @import {Attributes, Child} from "./elements.js" */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {...(Child | Child[])} children
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  // With the focus on something without this, JupyterLab's own keys act on the cell: d d deletes it.
  if (/^(a|button|input|select|summary)$/.test(tag) || "tabindex" in attributes)
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children.flat().flatMap(child => child == null || child === "" ? [] : [child]));
  return node;
}

/**
 * A button is never `disabled`: it would lose the focus, and the notebook's keys would act again.
 *
 * @param {string} words
 * @param {(event: MouseEvent) => void} action
 * @param {Attributes} attributes
 */
export function button(words, action, attributes = {}) {
  const node = h("button", {type: "button", ...attributes}, words);
  node.addEventListener("click", event => {
    if (node.getAttribute("aria-disabled") !== "true") action(event);
  });
  return node;
}

/**
 * @param {HTMLElement} node
 * @param {boolean} yes
 */
export function enable(node, yes) {
  node.setAttribute("aria-disabled", String(!yes));
}

/**
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} words */
export function heading(words) {
  return h("div", {class: "md-title"}, words);
}

/** @param {string} text */
export function code(text) {
  return h("code", {}, text);
}

/**
 * A moment as a person near it says it: the time, and the day where that is another one.
 *
 * @param {string} moment
 */
export function when(moment) {
  const then = new Date(moment), time = then.toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit"});
  return then.toDateString() === new Date().toDateString() ? time
    : `${then.toLocaleDateString("en-GB", {day: "numeric", month: "short"})}, ${time}`;
}

/** @param {number} count */
export function grouped(count) {
  return count.toLocaleString("en");
}
