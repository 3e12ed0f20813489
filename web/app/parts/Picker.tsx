/** One of many, with "all" as the first: narrows a list. */

import { useText } from "../i18n";

interface Props {
  name: string;
  value: string;
  /** What is sent, and what is read. */
  options: readonly (readonly [string, string])[];
  onChoose: (value: string) => void;
}

export function Picker({ name, value, options, onChoose }: Props) {
  const t = useText();
  return (
    <label className="picker">
      {name}
      <span className="select">
        <select value={value} onChange={(event) => onChoose(event.target.value)}>
          <option value="">{t("app.all")}</option>
          {options.map(([sent, read]) => (
            <option key={sent} value={sent}>
              {read}
            </option>
          ))}
        </select>
      </span>
    </label>
  );
}
