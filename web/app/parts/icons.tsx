/** Line drawings of one weight; decoration only, the words stand beside them. */

import type { ReactNode } from "react";

function Icon({ children, size = 16 }: { children: ReactNode; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const FlowIcon = () => (
  <Icon>
    <rect x="1.75" y="2" width="4.5" height="4.5" rx="1.25" />
    <rect x="9.75" y="9.5" width="4.5" height="4.5" rx="1.25" />
    <path d="M4 6.500v3.250a2 2 0 0 0 2 2h3.750" />
  </Icon>
);
export const RunsIcon = () => (
  <Icon>
    <path d="M1.750 4h6M4.500 8h8M8.500 12h5.750" />
  </Icon>
);
/** One task, many threads. */
export const ItemsIcon = () => (
  <Icon size={12}>
    <path d="M1.500 8h4M5.500 8c2 0 1.500-5 4-5h5M5.500 8h9M5.500 8c2 0 1.500 5 4 5h5" />
  </Icon>
);
/** Many come, and pass a gate. */
export const LimitIcon = () => (
  <Icon size={14}>
    <path d="M1.500 4h4M1.500 8h13M1.500 12h4M8.500 1.500v4M8.500 10.500v4" />
  </Icon>
);
export const SearchIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.500" />
    <path d="m10.500 10.500 3.500 3.500" />
  </Icon>
);
export const PlayIcon = () => (
  <Icon>
    <path d="M4.500 2.800v10.400l8.500-5.200z" fill="currentColor" />
  </Icon>
);
export const StopIcon = () => (
  <Icon>
    <rect x="3.750" y="3.750" width="8.500" height="8.500" rx="1.500" />
  </Icon>
);
export const PauseIcon = () => (
  <Icon>
    <path d="M5.500 3.500v9M10.500 3.500v9" />
  </Icon>
);
export const AgainIcon = () => (
  <Icon>
    <path d="M13 8a5 5 0 1 1-1.600-3.700M13 2.500v2.750h-2.750" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
);
export const OpenIcon = () => (
  <Icon>
    <path d="M9 2.750h4.250V7M13 3 7.500 8.500M6.500 3.500H4A1.250 1.250 0 0 0 2.750 4.750V12A1.250 1.250 0 0 0 4 13.250h7.250A1.250 1.250 0 0 0 12.500 12V9.500" />
  </Icon>
);
export const LogOutIcon = () => (
  <Icon>
    <path d="M6.500 2.750H3.750v10.500H6.500M10 5l3 3-3 3M13 8H6.500" />
  </Icon>
);
export const SunIcon = () => (
  <Icon size={14}>
    <circle cx="8" cy="8" r="3" />
    <path d="M8 1.500v1M8 13.500v1M1.500 8h1M13.500 8h1M3.400 3.400l.7.7M11.900 11.900l.7.7M3.400 12.600l.7-.7M11.900 4.100l.7-.7" />
  </Icon>
);
export const MoonIcon = () => (
  <Icon size={14}>
    <path d="M13.250 9.500A5.750 5.750 0 0 1 6.500 2.750a5.750 5.750 0 1 0 6.750 6.750z" />
  </Icon>
);
export const ScreenIcon = () => (
  <Icon size={14}>
    <rect x="1.750" y="2.750" width="12.500" height="8.500" rx="1.250" />
    <path d="M5.500 13.750h5" />
  </Icon>
);
export const WarnIcon = () => (
  <Icon>
    <path d="M8 5.500v3.250M8 11.250v.01M8 1.900l6.300 11.350H1.700z" />
  </Icon>
);

/** Two threads crossing: over, under. */
export const Mark = ({ size = 26 }: { size?: number }) => (
  <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#24418c" />
    <g fill="none" strokeLinecap="round" strokeWidth="3.400">
      <path stroke="#fff" d="M7 11h8M7 21h1.500M15.500 21H25M22.500 11H25" />
      <path stroke="#f2b84b" d="M12 7v.5M12 14.500V25M19.500 7v10.500M19.500 24.500v.5" />
    </g>
  </svg>
);
