/** The definition drawn; for the eye only. The list beside it says the same in words. */

import {
  getViewportForBounds,
  Handle,
  MarkerType,
  Panel,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
  type Edge,
  type Node,
  type NodeProps,
  type ReactFlowInstance,
} from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { useMemo, useRef } from "react";
import type { JobSpec, TaskSpec } from "../../api/client";
import "../../design/graph.css";
import { useText } from "../../i18n";
import { ItemsIcon, LimitIcon } from "../../parts/icons";
import { layOut } from "./layout";

type JobNode = Node<{ name: string; count: number }, "job">;
type TaskNode = Node<{ task: TaskSpec; number: number }, "task">;

function JobBox({ data }: NodeProps<JobNode>) {
  const t = useText();
  return (
    <div className="node-job">
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <div className="node-job-name clip" title={data.name}>
        {data.name} <span className="node-count">{t("workflow.taskCount", { count: data.count })}</span>
      </div>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

function TaskBox({ data }: NodeProps<TaskNode>) {
  const t = useText();
  const { when, for_each: list, max_parallel: most, concurrency_key: key, concurrency_limit: places } = data.task;
  const told = [
    data.task.name,
    when !== null && `${t("workflow.when")} ${when}`,
    list !== null && `${t("workflow.each")} ${typeof list === "string" ? list : t("workflow.items", { count: list.length })}`,
    list !== null && most > 0 && t("workflow.parallel", { count: most }),
    key !== null && `${t("workflow.key")} ${key} · ${t("workflow.parallel", { count: places ?? 1 })}`,
  ];
  return (
    <div className={list === null ? "node-task" : "node-task node-each"} title={told.filter(Boolean).join("\n")}>
      <Handle type="target" position={Position.Top} isConnectable={false} />
      <span className="node-number">{data.number}</span>
      <span className="node-text">
        <span className="node-name clip">{data.task.name}</span>
        <code className="node-type clip">{data.task.type}</code>
      </span>
      {(when !== null || list !== null || key !== null) && (
        <span className="node-marks">
          {when !== null && <span className="node-when">{t("workflow.when")}</span>}
          <span className="node-pair">
            {list !== null && (
              <span className="node-items">
                <ItemsIcon />
                {most > 0 && most}
              </span>
            )}
            {key !== null && (
              <span className="node-items node-key">
                <LimitIcon />
                {places}
              </span>
            )}
          </span>
        </span>
      )}
      <Handle type="source" position={Position.Bottom} isConnectable={false} />
    </div>
  );
}

const NODE_TYPES = { job: JobBox, task: TaskBox };
const FIT = { padding: 0.08, maxZoom: 1, minZoom: 0.1 };
/** Drawn smaller than this, nobody reads it: a large flow is then shown from its beginning instead of whole. */
const READABLE = 0.6;
const FROM_BEGINNING = { x: 24, y: 24, zoom: 0.85 };

export default function Graph({ jobs }: { jobs: JobSpec[] }) {
  return (
    <ReactFlowProvider>
      <Drawing jobs={jobs} />
    </ReactFlowProvider>
  );
}

function Drawing({ jobs }: { jobs: JobSpec[] }) {
  const t = useText();
  const { nodes, edges } = useMemo(() => draw(jobs), [jobs]);
  const box = useRef<HTMLDivElement>(null);

  function begin(flow: ReactFlowInstance<JobNode | TaskNode>): void {
    if (box.current === null) return;
    const { clientWidth, clientHeight } = box.current;
    const whole = getViewportForBounds(flow.getNodesBounds(nodes), clientWidth, clientHeight, FIT.minZoom, FIT.maxZoom, FIT.padding);
    void flow.setViewport(whole.zoom < READABLE ? FROM_BEGINNING : whole);
  }

  return (
    <ReactFlow
      ref={box}
      onInit={begin}
      nodes={nodes}
      edges={edges}
      nodeTypes={NODE_TYPES}
      minZoom={0.1}
      maxZoom={1.6}
      nodesDraggable={false}
      nodesConnectable={false}
      nodesFocusable={false}
      edgesFocusable={false}
      elementsSelectable={false}
      zoomOnScroll={false}
      preventScrolling={false}
      onlyRenderVisibleElements={nodes.length > 120}
      aria-label={t("workflow.graphLabel", { tasks: nodes.length - jobs.length })}
    >
      <Buttons />
    </ReactFlow>
  );
}

function Buttons() {
  const t = useText();
  const flow = useReactFlow();
  return (
    <Panel position="bottom-right" className="graph-buttons">
      <button type="button" aria-label={t("workflow.zoomIn")} onClick={() => void flow.zoomIn()}>
        +
      </button>
      <button type="button" aria-label={t("workflow.zoomOut")} onClick={() => void flow.zoomOut()}>
        −
      </button>
      <button type="button" onClick={() => void flow.fitView(FIT)}>
        {t("workflow.zoomFit")}
      </button>
    </Panel>
  );
}

function draw(jobs: JobSpec[]): { nodes: (JobNode | TaskNode)[]; edges: Edge[] } {
  const layout = layOut(jobs);
  const nodes: (JobNode | TaskNode)[] = [];
  let number = 0;
  for (const job of jobs) {
    const box = layout.jobs.get(job.key);
    if (box === undefined) continue;
    nodes.push({
      id: job.key,
      type: "job",
      position: { x: box.x, y: box.y },
      width: box.width,
      height: box.height,
      data: { name: job.name, count: job.tasks.length },
    });
    for (const task of job.tasks) {
      const place = layout.tasks.get(`${job.key}/${task.key}`);
      if (place === undefined) continue;
      number += 1;
      nodes.push({
        id: `${job.key}/${task.key}`,
        type: "task",
        parentId: job.key,
        position: { x: place.x, y: place.y },
        width: place.width,
        height: place.height,
        data: { task, number },
      });
    }
  }
  const edges = layout.edges.map<Edge>((edge) => ({
    id: edge.id,
    source: edge.from,
    target: edge.to,
    type: edge.between === "jobs" ? "default" : "smoothstep",
    className: `edge-${edge.between}`,
    markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14, color: edge.between === "jobs" ? "var(--jjok)" : "var(--line-strong)" },
    zIndex: 1,
  }));
  return { nodes, edges };
}
