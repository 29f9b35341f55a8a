// What an element is made of: a name that isn't here is a typing error.

type Listeners = {
  [Name in keyof HTMLElementEventMap as `on${Name}`]?: (event: HTMLElementEventMap[Name]) => void;
};

export interface Attributes extends Listeners {
  class?: string;
  hidden?: boolean;
  href?: string;
  max?: string;
  open?: boolean;
  placeholder?: string;
  rel?: "noopener noreferrer";
  role?: string;
  scope?: "col" | "row";
  size?: string;
  target?: "_blank";
  title?: string;
  maxlength?: string;
  tabindex?: "-1" | "0";
  type?: "button" | "checkbox" | "date" | "search" | "text";
  value?: string;
  [name: `aria-${string}` | `data-${string}`]: string;
}

/** "", null and undefined leave nothing. */
export type Child = Node | string | null | undefined;
