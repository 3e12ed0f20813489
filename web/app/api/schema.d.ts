/** Generated from openapi.json by `npm run api:write`. Do not edit. */

export interface paths {
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Jwks */
        get: operations["identity_jwks__well_known_jwks_json_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Health */
        get: operations["identity_health_health_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Openapi
         * @description The API of all services in one document, as whoever started them merged it.
         */
        get: operations["identity_openapi_openapi_json_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/api-tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Api Tokens
         * @description The caller's own.
         */
        get: operations["identity_list_api_tokens_v0_api_tokens_get"];
        put?: never;
        /**
         * Create Api Token
         * @description The answer is the only place where the token's text ever appears.
         */
        post: operations["identity_create_api_token_v0_api_tokens_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/api-tokens/{api_token_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read Api Token */
        get: operations["identity_read_api_token_v0_api_tokens__api_token_id__get"];
        put?: never;
        post?: never;
        /**
         * Revoke Api Token
         * @description One's own, or for an administrator anybody's.
         */
        delete: operations["identity_revoke_api_token_v0_api_tokens__api_token_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/artifacts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Artifacts */
        get: operations["worker_list_artifacts_v0_artifacts_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/artifacts/{artifact_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Artifact */
        get: operations["worker_get_artifact_v0_artifacts__artifact_id__get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/artifacts/{artifact_id}/content": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Artifact Content */
        get: operations["worker_get_artifact_content_v0_artifacts__artifact_id__content_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/audit-log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Audit Log
         * @description Who did what, newest first; perhaps only one action, or one user's doings.
         */
        get: operations["identity_list_audit_log_v0_audit_log_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/check-session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Check Session */
        get: operations["identity_check_session_v0_auth_check_session_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Log In */
        post: operations["identity_log_in_v0_auth_login_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Log Out */
        post: operations["identity_log_out_v0_auth_logout_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/permissions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Grants
         * @description What the caller's token allows; roles are the user's own.
         */
        get: operations["identity_grants_v0_auth_permissions_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Refresh
         * @description Takes no body: the refresh token is the cookie.
         */
        post: operations["identity_refresh_v0_auth_refresh_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/auth/register": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Register
         * @description Department, position and roles by id or by name (roles: code).
         */
        post: operations["identity_register_v0_auth_register_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/connections": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Connections */
        get: operations["worker_list_connections_v0_connections_get"];
        put?: never;
        /** Create Connection */
        post: operations["worker_create_connection_v0_connections_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/connections/{connection_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Connection */
        get: operations["worker_get_connection_v0_connections__connection_id__get"];
        /** Replace Connection */
        put: operations["worker_replace_connection_v0_connections__connection_id__put"];
        post?: never;
        /** Delete Connection */
        delete: operations["worker_delete_connection_v0_connections__connection_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Publish Event
         * @description Records an event and gives it to the tasks that wait for it, now or later. The same key gives the same event.
         */
        post: operations["execution_publish_event_v0_events_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Jobs */
        get: operations["workflow_list_jobs_v0_jobs_get"];
        put?: never;
        /** Create Job */
        post: operations["workflow_create_job_v0_jobs_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/jobs/{job_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Job */
        get: operations["workflow_get_job_v0_jobs__job_id__get"];
        /** Update Job */
        put: operations["workflow_update_job_v0_jobs__job_id__put"];
        post?: never;
        /** Delete Job */
        delete: operations["workflow_delete_job_v0_jobs__job_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/jobs/{job_id}/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Put Job Tasks */
        put: operations["workflow_put_job_tasks_v0_jobs__job_id__tasks_put"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/organizations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Organizations
         * @description The caller's own: there is never a second page.
         */
        get: operations["identity_list_organizations_v0_organizations_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/organizations/{organization_id}/options": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read Options */
        get: operations["identity_read_options_v0_organizations__organization_id__options_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/permissions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Permissions */
        get: operations["identity_list_permissions_v0_permissions_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/roles": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Roles */
        get: operations["identity_list_roles_v0_roles_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/schedules": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Schedules */
        get: operations["scheduler_list_schedules_v0_schedules_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/schedules/{schedule_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Schedule */
        get: operations["scheduler_get_schedule_v0_schedules__schedule_id__get"];
        /** Change Schedule */
        put: operations["scheduler_change_schedule_v0_schedules__schedule_id__put"];
        post?: never;
        /** Delete Schedule */
        delete: operations["scheduler_delete_schedule_v0_schedules__schedule_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/schedules/{schedule_id}/active": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Set Active */
        patch: operations["scheduler_set_active_v0_schedules__schedule_id__active_patch"];
        trace?: never;
    };
    "/v0/task-types": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Task Types */
        get: operations["workflow_list_task_types_v0_task_types_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/task-types/{task_type}/try": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Try Task Type */
        post: operations["worker_try_task_type_v0_task_types__task_type__try_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Tasks */
        get: operations["workflow_list_tasks_v0_tasks_get"];
        put?: never;
        /** Create Task */
        post: operations["workflow_create_task_v0_tasks_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/tasks/io-data": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read Io
         * @description A task run's input and output, and its failed attempts.
         */
        get: operations["execution_read_io_v0_tasks_io_data_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/tasks/io-data/content": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read Io Content
         * @description A task run's input or output as a JSON document, however large. 404 while there is none.
         */
        get: operations["execution_read_io_content_v0_tasks_io_data_content_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/tasks/{task_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Task */
        get: operations["workflow_get_task_v0_tasks__task_id__get"];
        /** Update Task */
        put: operations["workflow_update_task_v0_tasks__task_id__put"];
        post?: never;
        /** Delete Task */
        delete: operations["workflow_delete_task_v0_tasks__task_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Users
         * @description `text` is part of a name or an address.
         */
        get: operations["identity_list_users_v0_users_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/users/check-email": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Check Email */
        post: operations["identity_check_email_v0_users_check_email_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/users/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Me */
        get: operations["identity_me_v0_users_me_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Change Me
         * @description A new password needs the current one. After a mailed password was replaced, refresh to get a token that works.
         */
        patch: operations["identity_change_me_v0_users_me_patch"];
        trace?: never;
    };
    "/v0/users/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read User */
        get: operations["identity_read_user_v0_users__user_id__get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Change User
         * @description Suspends, brings back, moves, or gives other roles (which then replace all former ones).
         */
        patch: operations["identity_change_user_v0_users__user_id__patch"];
        trace?: never;
    };
    "/v0/users/{user_id}/initial-password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Mail Initial Password
         * @description Mails the user a new password that they must change; their sessions end.
         */
        post: operations["identity_mail_initial_password_v0_users__user_id__initial_password_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Runs
         * @description Runs of the caller's organisation, newest first unless sorted otherwise. A cursor belongs to its sort.
         */
        get: operations["execution_list_runs_v0_workflow_runs_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow Runs
         * @description The list of runs as server-sent events, until the token expires or its session ends. `runs`: `{items}`, summaries
         *     as the list has them, of runs that were accepted or whose state changed; a newer `version` replaces an older one.
         *     The first comes at once and repeats the last half minute, or what was missed since `Last-Event-ID` with as much
         *     overlap. `reset`: too much has changed, read the list again.
         */
        get: operations["execution_follow_runs_v0_workflow_runs_events_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/statistics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Run Statistics
         * @description How runs ended and how long they took: of all, per workflow, per task type, per day. By default the last 30 days,
         *     at most 366.
         */
        get: operations["execution_get_run_statistics_v0_workflow_runs_statistics_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Run
         * @description One run with its jobs and tasks.
         */
        get: operations["execution_get_run_v0_workflow_runs__run_id__get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel Run
         * @description Ends a run; it is terminal within ten seconds even when its worker is gone.
         */
        post: operations["execution_cancel_run_v0_workflow_runs__run_id__cancel_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow Run
         * @description The run as server-sent events, until it is terminal and its log is told, or the token expires or its session
         *     ends. An id is `<version>.<log position>`, and `Last-Event-ID` goes on behind it.
         *
         *     `run`: the whole run as `GET /workflow-runs/{run_id}` answers it, first, whenever its state changes, and last; of a
         *     run of at most 50 tasks after each change. `tasks`: of a larger run, the same without `input` and `log_position`,
         *     and only with the tasks that changed, in their jobs. `log`: `{items}`, log lines as `/logs` answers them, in the
         *     order in which they were saved.
         */
        get: operations["execution_follow_run_v0_workflow_runs__run_id__events_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read Log
         * @description What the run's tasks logged, in order. Of a run that ended just now the last lines are waited for.
         */
        get: operations["execution_read_log_v0_workflow_runs__run_id__logs_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Pause Run
         * @description Hands out no further task until resumed; what runs goes on.
         */
        post: operations["execution_pause_run_v0_workflow_runs__run_id__pause_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/rerun": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rerun
         * @description Starts a new run of an ended one; outputs of tasks that do not run again are copied.
         */
        post: operations["execution_rerun_v0_workflow_runs__run_id__rerun_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Resume Run */
        post: operations["execution_resume_run_v0_workflow_runs__run_id__resume_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/tasks/{task_run_id}/answer": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Answer Task
         * @description Gives a task that waits for a person what it waits for. 409 when it does not wait (any more).
         */
        post: operations["execution_answer_task_v0_workflow_runs__run_id__tasks__task_run_id__answer_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflow-runs/{run_id}/tasks/{task_run_id}/items": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Items
         * @description The items that a task over a list has begun, in order. Each is a task run: its input, output and log lines are
         *     read by its `task_run_id`.
         */
        get: operations["execution_list_items_v0_workflow_runs__run_id__tasks__task_run_id__items_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Workflows */
        get: operations["workflow_list_workflows_v0_workflows_get"];
        put?: never;
        /** Create Workflow */
        post: operations["workflow_create_workflow_v0_workflows_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Workflow */
        get: operations["workflow_get_workflow_v0_workflows__workflow_id__get"];
        /** Update Workflow */
        put: operations["workflow_update_workflow_v0_workflows__workflow_id__put"];
        post?: never;
        /** Delete Workflow */
        delete: operations["workflow_delete_workflow_v0_workflows__workflow_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/activate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Activate Workflow */
        patch: operations["workflow_activate_workflow_v0_workflows__workflow_id__activate_patch"];
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/composite-tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Create Composite Task
         * @description Saves some of the workflow's tasks as one task, which runs them as a workflow of their own.
         */
        post: operations["workflow_create_composite_task_v0_workflows__workflow_id__composite_tasks_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/deactivate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Deactivate Workflow */
        patch: operations["workflow_deactivate_workflow_v0_workflows__workflow_id__deactivate_patch"];
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/detail": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get Workflow Detail */
        get: operations["workflow_get_workflow_detail_v0_workflows__workflow_id__detail_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Put Workflow Jobs */
        put: operations["workflow_put_workflow_jobs_v0_workflows__workflow_id__jobs_put"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/run": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start Run
         * @description Accepts a run and answers at once; `Location` names it. The same key gives the same run.
         */
        post: operations["execution_start_run_v0_workflows__workflow_id__run_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/schedules": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List Workflow Schedules */
        get: operations["scheduler_list_workflow_schedules_v0_workflows__workflow_id__schedules_get"];
        put?: never;
        /** Create Schedule */
        post: operations["scheduler_create_schedule_v0_workflows__workflow_id__schedules_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v0/workflows/{workflow_id}/schedules/{schedule_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Change Workflow Schedule */
        put: operations["scheduler_change_workflow_schedule_v0_workflows__workflow_id__schedules__schedule_id__put"];
        post?: never;
        /** Delete Workflow Schedule */
        delete: operations["scheduler_delete_workflow_schedule_v0_workflows__workflow_id__schedules__schedule_id__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** Accepted */
        Accepted: {
            /** Run Id */
            run_id: string;
        };
        /** ActiveBody */
        ActiveBody: {
            /** Active */
            active: boolean;
        };
        /** AnswerAnswer */
        AnswerAnswer: {
            /** State */
            state: string;
            /** Task Run Id */
            task_run_id: string;
        };
        /**
         * AnswerBody
         * @description To an approval `approved`, to a form `values` that fit its schema.
         */
        AnswerBody: {
            /** Approved */
            approved?: boolean | null;
            /**
             * Comment
             * @default
             */
            comment: string;
            /** Values */
            values?: {
                [key: string]: unknown;
            } | null;
        };
        /** ApiTokenBody */
        ApiTokenBody: {
            /**
             * Expires In Days
             * @default 90
             */
            expires_in_days: number;
            /** Name */
            name: string;
            /** Permissions */
            permissions: string[];
        };
        /** ApiTokenView */
        ApiTokenView: {
            /** Api Token Id */
            api_token_id: string;
            /** Created At */
            created_at: string;
            /** Expires At */
            expires_at: string;
            /** Name */
            name: string;
            /** Permissions */
            permissions: string[];
            /** User Id */
            user_id: string;
        };
        /** ApiTokens */
        ApiTokens: {
            /** Items */
            items: components["schemas"]["ApiTokenView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** Attempt */
        Attempt: {
            /** Attempt */
            attempt: number;
            error: components["schemas"]["ErrorAnswer"] | null;
            /** Finished At */
            finished_at: string | null;
            /** Queued At */
            queued_at: string | null;
            /** Ran Ms */
            ran_ms: number | null;
            /** Started At */
            started_at: string | null;
            /** State */
            state: string;
            /** Waited Ms */
            waited_ms: number | null;
            /** Worker */
            worker: string | null;
        };
        /** AuditLog */
        AuditLog: {
            /** Items */
            items: components["schemas"]["AuditView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** AuditView */
        AuditView: {
            /** Action */
            action: string;
            /** At */
            at: string;
            /** Audit Log Id */
            audit_log_id: string;
            /** Detail */
            detail: {
                [key: string]: unknown;
            };
            /** Resource Id */
            resource_id: string;
            /** Resource Type */
            resource_type: string;
            /** Trace Id */
            trace_id: string;
            /** User Id */
            user_id: string | null;
        };
        /** AvailableView */
        AvailableView: {
            /** Available */
            available: boolean;
        };
        /** ChangeSelfBody */
        ChangeSelfBody: {
            /** Current Password */
            current_password?: string | null;
            /** Name */
            name?: string | null;
            /** New Password */
            new_password?: string | null;
        };
        /** ChangeUserBody */
        ChangeUserBody: {
            /** Department */
            department?: string | null;
            /** Name */
            name?: string | null;
            /** Position */
            position?: string | null;
            /** Roles */
            roles?: string[] | null;
            state?: components["schemas"]["UserState"] | null;
        };
        /**
         * ChangedConnection
         * @description The connection as it shall be; `credentials` left out keeps those stored.
         */
        ChangedConnection: {
            /** Credentials */
            credentials?: {
                [key: string]: string;
            } | null;
            /** Kind */
            kind: string;
            /** Name */
            name: string;
            /** Settings */
            settings?: {
                [key: string]: unknown;
            };
        };
        /** ComposedOut */
        ComposedOut: {
            /** Active */
            active: boolean;
            concurrency: components["schemas"]["ConcurrencyOut"] | null;
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Default Config */
            default_config: {
                [key: string]: unknown;
            };
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string;
            /** Input Schema */
            input_schema: {
                [key: string]: unknown;
            } | null;
            /** Jobs */
            jobs: components["schemas"]["JobSpecOut"][];
            /** Name */
            name: string;
            /** Problems */
            problems: components["schemas"]["ProblemOut"][];
            /** Retention Days */
            retention_days: number | null;
            /** Revision */
            revision: number;
            /** Runnable */
            runnable: boolean;
            /** Timeout S */
            timeout_s: number | null;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
            /** Version */
            version: number;
            /** Workflow Id */
            workflow_id: string;
        };
        /**
         * CompositeIn
         * @description `keys`: of the placements that become one task; `replace`: puts it in their place, called `key` there (absent:
         *     after its name).
         */
        CompositeIn: {
            /**
             * Description
             * @default
             */
            description: string;
            /** Key */
            key?: string | null;
            /** Keys */
            keys: string[];
            /** Name */
            name: string;
            /**
             * Replace
             * @default false
             */
            replace: boolean;
        };
        /**
         * CompositeOut
         * @description A task that runs the workflow `workflow_id`. `inputs`: what that is given, as expressions of the workflow from
         *     which it was made; `outputs`: keys of the tasks whose outputs it gives. `key`: its own in that workflow, null when
         *     it was not put there; `workflow_revision`: that workflow's since.
         */
        CompositeOut: {
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Description */
            description: string;
            /** Inputs */
            inputs: {
                [key: string]: unknown;
            };
            /** Key */
            key: string | null;
            /** Name */
            name: string;
            /** Outputs */
            outputs: string[];
            /** Revision */
            revision: number;
            /** Task Id */
            task_id: string;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
            /** Workflow Id */
            workflow_id: string;
            /** Workflow Revision */
            workflow_revision: number;
        };
        /**
         * ConcurrencyIn
         * @description At most `limit` runs of the workflow at a time. One too many waits (`queue`), ends at once as CANCELLED (`skip`),
         *     or has the oldest cancelled (`cancel`).
         */
        ConcurrencyIn: {
            /** Limit */
            limit: number;
            /**
             * Overflow
             * @default queue
             * @enum {string}
             */
            overflow: "queue" | "skip" | "cancel";
        };
        /** ConcurrencyOut */
        ConcurrencyOut: {
            /** Limit */
            limit: number;
            /** Overflow */
            overflow: string;
        };
        /** CreatedApiTokenView */
        CreatedApiTokenView: {
            /** Api Token Id */
            api_token_id: string;
            /** Created At */
            created_at: string;
            /** Expires At */
            expires_at: string;
            /** Name */
            name: string;
            /** Permissions */
            permissions: string[];
            /** Token */
            token: string | null;
            /** User Id */
            user_id: string;
        };
        /**
         * DayStatistics
         * @description `day`: a date in the time zone asked for.
         */
        DayStatistics: {
            /** Day */
            day: string;
            /** Duration Ms P50 */
            duration_ms_p50: number | null;
            /** Duration Ms P95 */
            duration_ms_p95: number | null;
            /** States */
            states: {
                [key: string]: number;
            };
            /** Success Rate */
            success_rate: number | null;
            /** Total */
            total: number;
        };
        /** DepartmentView */
        DepartmentView: {
            /** Department Id */
            department_id: string;
            /** Name */
            name: string;
        };
        /**
         * DetailOut
         * @description `schedules` is null when the scheduler does not answer.
         */
        DetailOut: {
            /** Active */
            active: boolean;
            concurrency: components["schemas"]["ConcurrencyOut"] | null;
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Default Config */
            default_config: {
                [key: string]: unknown;
            };
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string;
            /** Input Schema */
            input_schema: {
                [key: string]: unknown;
            } | null;
            /** Jobs */
            jobs: components["schemas"]["JobSpecOut"][];
            /** Name */
            name: string;
            /** Problems */
            problems: components["schemas"]["ProblemOut"][];
            /** Retention Days */
            retention_days: number | null;
            /** Revision */
            revision: number;
            /** Runnable */
            runnable: boolean;
            /** Schedules */
            schedules: components["schemas"]["ScheduleOut"][] | null;
            /** Timeout S */
            timeout_s: number | null;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
            /** Version */
            version: number;
            /** Workflow Id */
            workflow_id: string;
        };
        /** EmailBody */
        EmailBody: {
            /** Email */
            email: string;
        };
        /** ErrorAnswer */
        ErrorAnswer: {
            /** Code */
            code: string;
            /** Details */
            details?: unknown;
            /** Message */
            message: string;
            /** Retryable */
            retryable: boolean;
        };
        /** ErrorCodeOut */
        ErrorCodeOut: {
            /** Code */
            code: string;
            /** Retryable */
            retryable: boolean;
            /** Text */
            text: string;
        };
        /** EventAccepted */
        EventAccepted: {
            /** Event Id */
            event_id: string;
        };
        /**
         * EventBody
         * @description Something that happened; tasks that wait for an event of this name, whose `match` it fits, go on.
         */
        EventBody: {
            /** Data */
            data?: {
                [key: string]: unknown;
            };
            /** Name */
            name: string;
        };
        /**
         * FiringView
         * @description What became of one instant.
         */
        FiringView: {
            /** Instant */
            instant: string;
            /**
             * Reason
             * @description Code of why it failed, was skipped, or is not started yet.
             */
            reason: string | null;
            /** Run Id */
            run_id: string | null;
            /**
             * State
             * @enum {string}
             */
            state: "pending" | "started" | "failed" | "skipped";
        };
        /** GrantsView */
        GrantsView: {
            /** Must Change Password */
            must_change_password: boolean;
            /** Organization Id */
            organization_id: string;
            /** Permissions */
            permissions: string[];
            /** Roles */
            roles: string[];
            /** User Id */
            user_id: string;
        };
        /**
         * IoData
         * @description A task run's resolved input and its output; sizes in bytes of JSON. One of more than 256 KiB is null here and its
         *     `…_url` says where it is. `attempts`: those before a retry, which are the failed ones, and the newest.
         */
        IoData: {
            /** Attempts */
            attempts: components["schemas"]["Attempt"][];
            /** Failed Attempts */
            failed_attempts: components["schemas"]["Attempt"][];
            /** Input */
            input: unknown;
            /** Input Size */
            input_size: number | null;
            /** Input Url */
            input_url: string | null;
            /** Output */
            output: unknown;
            /** Output Size */
            output_size: number | null;
            /** Output Url */
            output_url: string | null;
            /** Run Id */
            run_id: string;
            /** Task Run Id */
            task_run_id: string;
        };
        /** ItemAnswer */
        ItemAnswer: {
            /** Attempt */
            attempt: number;
            /** Concurrency Key */
            concurrency_key: string | null;
            /** Concurrency Limit */
            concurrency_limit: number | null;
            error: components["schemas"]["ErrorAnswer"] | null;
            /** Finished At */
            finished_at: string | null;
            /** Item */
            item: number;
            items: components["schemas"]["ItemCounts"] | null;
            /** Key */
            key: string;
            /** Name */
            name: string;
            /** Queued At */
            queued_at: string | null;
            /** Ran Ms */
            ran_ms: number | null;
            /** Started At */
            started_at: string | null;
            /** State */
            state: string;
            /** Task Run Id */
            task_run_id: string;
            /** Type */
            type: string;
            /** Waited Ms */
            waited_ms: number | null;
            /** Worker */
            worker: string | null;
        };
        /**
         * ItemCounts
         * @description Of a task that runs over a list: how many items it has, and how many ended how. `open`: begun and not ended.
         */
        ItemCounts: {
            /** Failed */
            failed: number;
            /** Open */
            open: number;
            /** Succeeded */
            succeeded: number;
            /** Total */
            total: number;
        };
        /** ItemPage */
        ItemPage: {
            /** Items */
            items: components["schemas"]["ItemAnswer"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** JobAnswer */
        JobAnswer: {
            /** Finished At */
            finished_at: string | null;
            /** Key */
            key: string;
            /** Name */
            name: string;
            /** Started At */
            started_at: string | null;
            /** State */
            state: string;
            /** Tasks */
            tasks: components["schemas"]["TaskAnswer"][];
        };
        /** JobDetailOut */
        JobDetailOut: {
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string | null;
            /** Job Id */
            job_id: string;
            /** Name */
            name: string;
            /** Revision */
            revision: number;
            /** Tasks */
            tasks: components["schemas"]["TaskPlacementOut"][];
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
        };
        /** JobIn */
        JobIn: {
            /**
             * Description
             * @default
             */
            description: string;
            /** Failure Policy */
            failure_policy?: ("continue" | "stop" | "isolate") | null;
            /** Name */
            name: string;
        };
        /** JobOut */
        JobOut: {
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string | null;
            /** Job Id */
            job_id: string;
            /** Name */
            name: string;
            /** Revision */
            revision: number;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
        };
        /**
         * JobPlacementIn
         * @description `depends_on`: keys of jobs of this workflow; absent: the one before it; []: none.
         */
        JobPlacementIn: {
            /** Depends On */
            depends_on?: string[] | null;
            /** Job Id */
            job_id: string;
            /** Key */
            key?: string | null;
        };
        /** JobSpecOut */
        JobSpecOut: {
            /** Depends On */
            depends_on: string[];
            /** Job Id */
            job_id: string;
            /** Key */
            key: string;
            /** Name */
            name: string;
            /** Tasks */
            tasks: components["schemas"]["TaskSpecOut"][];
        };
        /** Jobs */
        Jobs: {
            /** Items */
            items: components["schemas"]["JobOut"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /**
         * LogLine
         * @description Of an item of a list `item` is its place, from 0, and `parent_task_run_id` the task run that goes over it.
         */
        LogLine: {
            /** At */
            at: string;
            /** Attempt */
            attempt: number | null;
            /** Event */
            event: string;
            /** Fields */
            fields: {
                [key: string]: unknown;
            };
            /** Id */
            id: string;
            /** Item */
            item: number | null;
            /** Level */
            level: string;
            /** Parent Task Run Id */
            parent_task_run_id: string | null;
            /** Task Run Id */
            task_run_id: string | null;
            /** Worker */
            worker: string | null;
        };
        /** LogPage */
        LogPage: {
            /** Items */
            items: components["schemas"]["LogLine"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** LoginBody */
        LoginBody: {
            /** Email */
            email: string;
            /** Password */
            password: string;
        };
        /** MailedView */
        MailedView: {
            /** Mailed */
            mailed: boolean;
        };
        /** NewConnection */
        NewConnection: {
            /** Credentials */
            credentials?: {
                [key: string]: string;
            };
            /** Kind */
            kind: string;
            /** Name */
            name: string;
            /** Settings */
            settings?: {
                [key: string]: unknown;
            };
        };
        /** OptionsView */
        OptionsView: {
            /** Departments */
            departments: components["schemas"]["DepartmentView"][];
            /** Positions */
            positions: components["schemas"]["PositionView"][];
            /** Roles */
            roles: components["schemas"]["RoleView"][];
        };
        /** OrganizationView */
        OrganizationView: {
            /** Name */
            name: string;
            /** Organization Id */
            organization_id: string;
        };
        /** Organizations */
        Organizations: {
            /** Items */
            items: components["schemas"]["OrganizationView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** PermissionList */
        PermissionList: {
            /** Items */
            items: components["schemas"]["PermissionView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** PermissionView */
        PermissionView: {
            /** Code */
            code: string;
            /** Description */
            description: string;
            /** Permission Id */
            permission_id: string;
        };
        /** PositionView */
        PositionView: {
            /** Name */
            name: string;
            /** Position Id */
            position_id: string;
        };
        /**
         * Problem
         * @description RFC 9457, in the language of Accept-Language; `errors` names each field that is wrong.
         */
        Problem: {
            code: string;
            detail: string;
            errors: {
                field: string;
                reason: string;
            }[];
            status: number;
            title: string;
            trace_id: string;
            type: string;
        };
        /** ProblemOut */
        ProblemOut: {
            /** Field */
            field: string;
            /** Reason */
            reason: string;
        };
        /** RegisterBody */
        RegisterBody: {
            /** Department */
            department?: string | null;
            /** Email */
            email: string;
            /** Name */
            name: string;
            /** Organization */
            organization?: string | null;
            /** Position */
            position?: string | null;
            /** Roles */
            roles: string[];
        };
        /** RegisteredView */
        RegisteredView: {
            /** Created At */
            created_at: string;
            department: components["schemas"]["DepartmentView"] | null;
            /** Email */
            email: string;
            /** Mailed */
            mailed: boolean;
            /** Must Change Password */
            must_change_password: boolean;
            /** Name */
            name: string;
            /** Organization Id */
            organization_id: string;
            position: components["schemas"]["PositionView"] | null;
            /** Roles */
            roles: string[];
            state: components["schemas"]["UserState"];
            /** User Id */
            user_id: string;
            /** Version */
            version: number;
        };
        /**
         * RerunBody
         * @description `start` runs everything again, `failed` what did not succeed, `task` a task (`from_task`) and what follows it,
         *     `range` a task, another that follows it (`to_task`) and what is between, `tasks` those tasks and no other, `item`
         *     of one task that ran over a list (`task`) just that item, counted from 0, and items without an output.
         */
        RerunBody: {
            /** From Task */
            from_task?: string | null;
            /** Item */
            item?: number | null;
            /**
             * Mode
             * @default start
             * @enum {string}
             */
            mode: "start" | "failed" | "task" | "range" | "tasks" | "item";
            /** Task */
            task?: string | null;
            /** Tasks */
            tasks?: string[] | null;
            /** To Task */
            to_task?: string | null;
            /**
             * Version
             * @default same
             * @enum {string}
             */
            version: "same" | "latest";
        };
        /**
         * RetryIn
         * @description `max_attempts` counts the first attempt; times in seconds; `jitter`: the part of the wait drawn at random.
         */
        RetryIn: {
            /**
             * Backoff
             * @default exponential
             * @enum {string}
             */
            backoff: "fixed" | "exponential";
            /**
             * Delay S
             * @default 1
             */
            delay_s: number;
            /**
             * Jitter
             * @default 0
             */
            jitter: number;
            /**
             * Max Attempts
             * @default 1
             */
            max_attempts: number;
            /**
             * Max Delay S
             * @default 300
             */
            max_delay_s: number;
        };
        /** RetryOut */
        RetryOut: {
            /** Backoff */
            backoff: string;
            /** Delay S */
            delay_s: number;
            /** Jitter */
            jitter: number;
            /** Max Attempts */
            max_attempts: number;
            /** Max Delay S */
            max_delay_s: number;
        };
        /** RoleList */
        RoleList: {
            /** Items */
            items: components["schemas"]["RoleView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** RoleView */
        RoleView: {
            /** Code */
            code: string;
            /** Description */
            description: string;
            /** Name */
            name: string;
            /** Permissions */
            permissions: string[];
            /** Role Id */
            role_id: string;
        };
        /**
         * RunDetail
         * @description `log_position`: the number of its newest log line; `<version>.<log_position>` is where following it begins.
         */
        RunDetail: {
            /** Cause */
            cause: string;
            /** Created At */
            created_at: string;
            /** Duration Ms */
            duration_ms: number | null;
            error: components["schemas"]["ErrorAnswer"] | null;
            /** Finished At */
            finished_at: string | null;
            /** Input */
            input: unknown;
            /** Jobs */
            jobs: components["schemas"]["JobAnswer"][];
            /** Log Position */
            log_position: number;
            /** Number */
            number: number;
            /** Ran Ms */
            ran_ms: number | null;
            /** Rerun Of */
            rerun_of: string | null;
            /** Run Id */
            run_id: string;
            /** Started At */
            started_at: string | null;
            state: components["schemas"]["RunState"];
            /** Trace Id */
            trace_id: string;
            /** Trigger */
            trigger: string;
            /** Version */
            version: number;
            /** Waited Ms */
            waited_ms: number | null;
            /** Workflow Id */
            workflow_id: string;
            /** Workflow Name */
            workflow_name: string;
            /** Workflow Version */
            workflow_version: number;
        };
        /** RunPage */
        RunPage: {
            /** Items */
            items: components["schemas"]["RunSummary"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /**
         * RunState
         * @enum {string}
         */
        RunState: "PENDING" | "RUNNING" | "PAUSED" | "CANCELLING" | "SUCCESS" | "FAILED" | "CANCELLED";
        /**
         * RunStatistics
         * @description Of the newest 100,000 runs and 200,000 task runs of the range; `truncated` when there are more.
         *
         *     Runs from `counted_from` on are counted. `workflows`: the 50 with most runs. `days`: all of them, oldest first.
         */
        RunStatistics: {
            /** Counted From */
            counted_from: string;
            /** Created From */
            created_from: string;
            /** Created To */
            created_to: string;
            /** Days */
            days: components["schemas"]["DayStatistics"][];
            /** States */
            states: {
                [key: string]: number;
            };
            /** Success Rate */
            success_rate: number | null;
            /** Task Types */
            task_types: components["schemas"]["TaskTypeStatistics"][];
            /** Time Zone */
            time_zone: string;
            /** Total */
            total: number;
            /** Truncated */
            truncated: boolean;
            /** Workflows */
            workflows: components["schemas"]["WorkflowStatistics"][];
        };
        /**
         * RunSummary
         * @description A run in a list. `version` grows with every change. Times are ISO 8601 in UTC.
         *
         *     `waited_ms`: from its acceptance until its first task started, or its end when none did. `ran_ms`: from then until
         *     its end. `duration_ms`: from `started_at`, when its turn came, until its end.
         */
        RunSummary: {
            /** Cause */
            cause: string;
            /** Created At */
            created_at: string;
            /** Duration Ms */
            duration_ms: number | null;
            error: components["schemas"]["ErrorAnswer"] | null;
            /** Finished At */
            finished_at: string | null;
            /** Number */
            number: number;
            /** Ran Ms */
            ran_ms: number | null;
            /** Rerun Of */
            rerun_of: string | null;
            /** Run Id */
            run_id: string;
            /** Started At */
            started_at: string | null;
            state: components["schemas"]["RunState"];
            /** Trace Id */
            trace_id: string;
            /** Trigger */
            trigger: string;
            /** Version */
            version: number;
            /** Waited Ms */
            waited_ms: number | null;
            /** Workflow Id */
            workflow_id: string;
            /** Workflow Name */
            workflow_name: string;
            /** Workflow Version */
            workflow_version: number;
        };
        /** ScheduleOut */
        ScheduleOut: {
            /** Active */
            active: boolean;
            /** Cron */
            cron: string;
            /** Description */
            description: string;
            /** Next Fire At */
            next_fire_at: string | null;
            /** Paused */
            paused: boolean;
            /** Schedule Id */
            schedule_id: string;
            /** Text */
            text: string;
            /** Time Zone */
            time_zone: string;
            /** Values */
            values: {
                [key: string]: unknown;
            };
        };
        /** SchedulePage */
        SchedulePage: {
            /** Items */
            items: components["schemas"]["ScheduleView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** ScheduleView */
        ScheduleView: {
            /** Active */
            active: boolean;
            /** Created At */
            created_at: string;
            /** Cron */
            cron: string;
            /**
             * Description
             * @description The cron in words, in the language of Accept-Language.
             */
            description: string;
            last_firing: components["schemas"]["FiringView"] | null;
            /** Misfire */
            misfire: string;
            /**
             * Next Fire At
             * @description Null while it is stopped.
             */
            next_fire_at: string | null;
            /** Next Fires */
            next_fires: string[];
            /** Overlap */
            overlap: string;
            /**
             * Paused
             * @description Held because its workflow is not active; it keeps its own `active`.
             */
            paused: boolean;
            /** Schedule Id */
            schedule_id: string;
            /** Text */
            text: string;
            /** Time Zone */
            time_zone: string;
            /** Updated At */
            updated_at: string;
            /** Values */
            values: {
                [key: string]: unknown;
            };
            /** Version */
            version: number;
            /** Workflow Id */
            workflow_id: string;
        };
        /** SessionView */
        SessionView: {
            /** Active */
            active: boolean;
            /** Expires At */
            expires_at: string;
            /** Organization Id */
            organization_id: string;
            /** Session Id */
            session_id: string;
            /** User Id */
            user_id: string;
        };
        /**
         * StartBody
         * @description `input` must fit the workflow's input schema.
         */
        StartBody: {
            /** Input */
            input?: {
                [key: string]: unknown;
            };
        };
        /** StateAnswer */
        StateAnswer: {
            /** Run Id */
            run_id: string;
            state: components["schemas"]["RunState"];
        };
        /**
         * TaskAnswer
         * @description `concurrency_key` and `concurrency_limit` as the run's version has them: null of a task without a key.
         */
        TaskAnswer: {
            /** Attempt */
            attempt: number;
            /** Concurrency Key */
            concurrency_key: string | null;
            /** Concurrency Limit */
            concurrency_limit: number | null;
            error: components["schemas"]["ErrorAnswer"] | null;
            /** Finished At */
            finished_at: string | null;
            items: components["schemas"]["ItemCounts"] | null;
            /** Key */
            key: string;
            /** Name */
            name: string;
            /** Queued At */
            queued_at: string | null;
            /** Ran Ms */
            ran_ms: number | null;
            /** Started At */
            started_at: string | null;
            /** State */
            state: string;
            /** Task Run Id */
            task_run_id: string;
            /** Type */
            type: string;
            /** Waited Ms */
            waited_ms: number | null;
            /** Worker */
            worker: string | null;
        };
        /**
         * TaskIn
         * @description `timeout_s` bounds one attempt, `queue_timeout_s` its wait for a worker, `heartbeat_s` the silence of one that
         *     runs; absent: the task type's own, and no bound.
         */
        TaskIn: {
            /**
             * Description
             * @default
             */
            description: string;
            /** Failure Policy */
            failure_policy?: ("continue" | "stop" | "isolate") | null;
            /** Heartbeat S */
            heartbeat_s?: number | null;
            /** Name */
            name: string;
            /** Parameters */
            parameters?: {
                [key: string]: unknown;
            };
            /** Priority */
            priority?: number | null;
            /** Queue */
            queue?: string | null;
            /** Queue Timeout S */
            queue_timeout_s?: number | null;
            retry?: components["schemas"]["RetryIn"] | null;
            /** Timeout S */
            timeout_s?: number | null;
            /** Type */
            type: string;
        };
        /** TaskOut */
        TaskOut: {
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string | null;
            /** Heartbeat S */
            heartbeat_s: number | null;
            /** Name */
            name: string;
            /** Parameters */
            parameters: {
                [key: string]: unknown;
            };
            /** Priority */
            priority: number | null;
            /** Queue */
            queue: string | null;
            /** Queue Timeout S */
            queue_timeout_s: number | null;
            retry: components["schemas"]["RetryOut"] | null;
            /** Revision */
            revision: number;
            /** Task Id */
            task_id: string;
            /** Timeout S */
            timeout_s: number | null;
            /** Type */
            type: string;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
        };
        /**
         * TaskPlacementIn
         * @description `depends_on`: keys of tasks of this job; absent: the one before it; []: none. `when`: a condition, with or
         *     without `${{ }}`; the task is skipped when it is false. `for_each`: a list, or an expression that gives one, with or
         *     without `${{ }}`; the task runs once per item, at most `max_parallel` at a time, its parameters may name `item`, and
         *     its output is the list of their outputs. `concurrency_key`: text, or text with `${{ }}`, of 1 to 128 characters in
         *     the end: of all tasks of the organisation under one key at most `concurrency_limit` run (by default one). The rest
         *     overrides the task's.
         */
        TaskPlacementIn: {
            /** Concurrency Key */
            concurrency_key?: string | null;
            /** Concurrency Limit */
            concurrency_limit?: number | null;
            /** Depends On */
            depends_on?: string[] | null;
            /** Failure Policy */
            failure_policy?: ("continue" | "stop" | "isolate") | null;
            /** For Each */
            for_each?: unknown[] | string | null;
            /** Heartbeat S */
            heartbeat_s?: number | null;
            /** Key */
            key?: string | null;
            /** Max Parallel */
            max_parallel?: number | null;
            /** Name */
            name?: string | null;
            /** Parameters */
            parameters?: {
                [key: string]: unknown;
            } | null;
            /** Queue Timeout S */
            queue_timeout_s?: number | null;
            retry?: components["schemas"]["RetryIn"] | null;
            /** Task Id */
            task_id: string;
            /** Timeout S */
            timeout_s?: number | null;
            /** When */
            when?: string | null;
        };
        /**
         * TaskPlacementOut
         * @description A placement as it was said; null: the task's own.
         */
        TaskPlacementOut: {
            /** Concurrency Key */
            concurrency_key: string | null;
            /** Concurrency Limit */
            concurrency_limit: number | null;
            /** Depends On */
            depends_on: string[] | null;
            /** Failure Policy */
            failure_policy: string | null;
            /** For Each */
            for_each: unknown[] | string | null;
            /** Heartbeat S */
            heartbeat_s: number | null;
            /** Key */
            key: string;
            /** Max Parallel */
            max_parallel: number | null;
            /** Name */
            name: string | null;
            /** Parameters */
            parameters: {
                [key: string]: unknown;
            };
            /** Queue Timeout S */
            queue_timeout_s: number | null;
            retry: components["schemas"]["RetryOut"] | null;
            /** Task Id */
            task_id: string;
            /** Task Name */
            task_name: string;
            /** Timeout S */
            timeout_s: number | null;
            /** Type */
            type: string;
            /** When */
            when: string | null;
        };
        /**
         * TaskSpecOut
         * @description A placement as it would run: `parameters` are merged, `depends_on` is filled in.
         *
         *     `when`: its condition in `${{ }}`; null: it always runs. `for_each`: a list, or an expression that gives one, over
         *     whose items it runs; null: it runs once. `max_parallel` 0: as many items at once as the engine lets. Of all tasks of
         *     the organisation under its `concurrency_key` at most `concurrency_limit` run; null: it has no key.
         */
        TaskSpecOut: {
            /** Concurrency Key */
            concurrency_key: string | null;
            /** Concurrency Limit */
            concurrency_limit: number | null;
            /** Depends On */
            depends_on: string[];
            /** Failure Policy */
            failure_policy: string;
            /** For Each */
            for_each: unknown[] | string | null;
            /** Heartbeat S */
            heartbeat_s: number;
            /** Key */
            key: string;
            /** Max Parallel */
            max_parallel: number;
            /** Name */
            name: string;
            /** Parameters */
            parameters: {
                [key: string]: unknown;
            };
            /** Priority */
            priority: number;
            /** Queue */
            queue: string;
            /** Queue Timeout S */
            queue_timeout_s: number;
            retry: components["schemas"]["RetryOut"];
            /** Task Id */
            task_id: string;
            /** Timeout S */
            timeout_s: number;
            /** Type */
            type: string;
            /** When */
            when: string | null;
        };
        /**
         * TaskState
         * @enum {string}
         */
        TaskState: "PENDING" | "QUEUED" | "RUNNING" | "RETRY_WAIT" | "WAITING" | "SUCCESS" | "FAILED" | "CANCELLED" | "SKIPPED" | "UPSTREAM_FAILED";
        /**
         * TaskTypeOut
         * @description Schemas are JSON Schema 2020-12; texts in the caller's language.
         */
        TaskTypeOut: {
            /** Effect */
            effect: boolean;
            /** Errors */
            errors: components["schemas"]["ErrorCodeOut"][];
            /** Output Schema */
            output_schema: {
                [key: string]: unknown;
            };
            /** Parameters Schema */
            parameters_schema: {
                [key: string]: unknown;
            };
            /** Queue */
            queue: string;
            /** Timeout S */
            timeout_s: number;
            /** Title */
            title: string;
            /** Type */
            type: string;
        };
        /** TaskTypeStatistics */
        TaskTypeStatistics: {
            /** Ran Ms P50 */
            ran_ms_p50: number | null;
            /** Ran Ms P95 */
            ran_ms_p95: number | null;
            /** States */
            states: {
                [key: string]: number;
            };
            /** Success Rate */
            success_rate: number | null;
            /** Total */
            total: number;
            /** Type */
            type: string;
        };
        /** TaskTypes */
        TaskTypes: {
            /** Items */
            items: components["schemas"]["TaskTypeOut"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /** Tasks */
        Tasks: {
            /** Items */
            items: components["schemas"]["TaskOut"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /**
         * TimetableBody
         * @description When to run a workflow, and with what input.
         */
        TimetableBody: {
            /**
             * Active
             * @default true
             */
            active: boolean;
            /**
             * Cron
             * @description Unix, five fields (0 and 7 = Sunday), or Quartz, six or seven with seconds (1 = Sunday).
             * @example 0 8 * * *
             * @example 0 0 8 * * ?
             */
            cron: string;
            /**
             * Misfire
             * @description What becomes of instants that passed while the platform was down.
             * @default fire_once
             * @enum {string}
             */
            misfire: "fire_once" | "skip";
            /**
             * Overlap
             * @description What becomes of an instant while the run of the one before is still going.
             * @default allow
             * @enum {string}
             */
            overlap: "allow" | "skip";
            /**
             * Text
             * @description A note for people.
             * @default
             */
            text: string;
            /**
             * Time Zone
             * @description IANA name.
             * @default Asia/Seoul
             */
            time_zone: string;
            /**
             * Values
             * @description The input of the runs it starts.
             */
            values?: {
                [key: string]: unknown;
            };
        };
        /** TokenView */
        TokenView: {
            /** Access Token */
            access_token: string;
            /** Expires In */
            expires_in: number;
            /** Must Change Password */
            must_change_password: boolean;
            /**
             * Token Type
             * @default Bearer
             */
            token_type: string;
        };
        /** Trial */
        Trial: {
            /** Parameters */
            parameters?: {
                [key: string]: unknown;
            };
            /**
             * Timeout S
             * @default 30
             */
            timeout_s: number;
        };
        /**
         * UserState
         * @enum {string}
         */
        UserState: "active" | "suspended";
        /** UserView */
        UserView: {
            /** Created At */
            created_at: string;
            department: components["schemas"]["DepartmentView"] | null;
            /** Email */
            email: string;
            /** Must Change Password */
            must_change_password: boolean;
            /** Name */
            name: string;
            /** Organization Id */
            organization_id: string;
            position: components["schemas"]["PositionView"] | null;
            /** Roles */
            roles: string[];
            state: components["schemas"]["UserState"];
            /** User Id */
            user_id: string;
            /** Version */
            version: number;
        };
        /** Users */
        Users: {
            /** Items */
            items: components["schemas"]["UserView"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
        /**
         * WorkflowIn
         * @description `default_config`: values per placement key (or task id) merged over the blueprints (RFC 7396). `concurrency`: how
         *     many of its runs go on at once; absent: any number.
         */
        WorkflowIn: {
            concurrency?: components["schemas"]["ConcurrencyIn"] | null;
            /** Default Config */
            default_config?: {
                [key: string]: {
                    [key: string]: unknown;
                };
            };
            /**
             * Description
             * @default
             */
            description: string;
            /** Failure Policy */
            failure_policy?: ("continue" | "stop" | "isolate") | null;
            /** Input Schema */
            input_schema?: {
                [key: string]: unknown;
            } | null;
            /** Name */
            name: string;
            /** Retention Days */
            retention_days?: number | null;
            /** Timeout S */
            timeout_s?: number | null;
        };
        /**
         * WorkflowOut
         * @description `version`: the newest definition. `runnable` is false while `problems` say why what is saved cannot run.
         *     `concurrency`: how many of its runs go on at once; null: any number.
         */
        WorkflowOut: {
            /** Active */
            active: boolean;
            concurrency: components["schemas"]["ConcurrencyOut"] | null;
            /** Created At */
            created_at: string;
            /** Created By */
            created_by: string;
            /** Default Config */
            default_config: {
                [key: string]: unknown;
            };
            /** Description */
            description: string;
            /** Failure Policy */
            failure_policy: string;
            /** Input Schema */
            input_schema: {
                [key: string]: unknown;
            } | null;
            /** Name */
            name: string;
            /** Problems */
            problems: components["schemas"]["ProblemOut"][];
            /** Retention Days */
            retention_days: number | null;
            /** Revision */
            revision: number;
            /** Runnable */
            runnable: boolean;
            /** Timeout S */
            timeout_s: number | null;
            /** Updated At */
            updated_at: string;
            /** Updated By */
            updated_by: string;
            /** Version */
            version: number;
            /** Workflow Id */
            workflow_id: string;
        };
        /**
         * WorkflowStatistics
         * @description `workflow_name` as its newest run has it.
         */
        WorkflowStatistics: {
            /** Duration Ms P50 */
            duration_ms_p50: number | null;
            /** Duration Ms P95 */
            duration_ms_p95: number | null;
            /** States */
            states: {
                [key: string]: number;
            };
            /** Success Rate */
            success_rate: number | null;
            /** Total */
            total: number;
            /** Workflow Id */
            workflow_id: string;
            /** Workflow Name */
            workflow_name: string;
        };
        /** Workflows */
        Workflows: {
            /** Items */
            items: components["schemas"]["WorkflowOut"][];
            /** Next Cursor */
            next_cursor: string | null;
        };
    };
    responses: {
        /** @description Refused */
        Refused: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    identity_jwks__well_known_jwks_json_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_health_health_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: string;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_openapi_openapi_json_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_api_tokens_v0_api_tokens_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiTokens"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_create_api_token_v0_api_tokens_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApiTokenBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CreatedApiTokenView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_read_api_token_v0_api_tokens__api_token_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                api_token_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiTokenView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_revoke_api_token_v0_api_tokens__api_token_id__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                api_token_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_list_artifacts_v0_artifacts_get: {
        parameters: {
            query?: {
                run_id?: string | null;
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_get_artifact_v0_artifacts__artifact_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                artifact_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_get_artifact_content_v0_artifacts__artifact_id__content_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                artifact_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_audit_log_v0_audit_log_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
                action?: string | null;
                user_id?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditLog"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_check_session_v0_auth_check_session_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_log_in_v0_auth_login_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LoginBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_log_out_v0_auth_logout_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_grants_v0_auth_permissions_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GrantsView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_refresh_v0_auth_refresh_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_register_v0_auth_register_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RegisterBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegisteredView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_list_connections_v0_connections_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_create_connection_v0_connections_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewConnection"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_get_connection_v0_connections__connection_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                connection_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_replace_connection_v0_connections__connection_id__put: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                connection_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChangedConnection"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_delete_connection_v0_connections__connection_id__delete: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                connection_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_publish_event_v0_events_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EventBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EventAccepted"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_list_jobs_v0_jobs_get: {
        parameters: {
            query?: {
                text?: string | null;
                sort?: "created_at" | "-created_at" | "name" | "-name";
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Jobs"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_create_job_v0_jobs_post: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_get_job_v0_jobs__job_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobDetailOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_update_job_v0_jobs__job_id__put: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_delete_job_v0_jobs__job_id__delete: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_put_job_tasks_v0_jobs__job_id__tasks_put: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TaskPlacementIn"][];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobDetailOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_organizations_v0_organizations_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Organizations"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_read_options_v0_organizations__organization_id__options_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                organization_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OptionsView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_permissions_v0_permissions_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PermissionList"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_roles_v0_roles_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RoleList"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_list_schedules_v0_schedules_get: {
        parameters: {
            query?: {
                workflow_id?: string | null;
                active?: boolean | null;
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SchedulePage"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_get_schedule_v0_schedules__schedule_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_change_schedule_v0_schedules__schedule_id__put: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TimetableBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_delete_schedule_v0_schedules__schedule_id__delete: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_set_active_v0_schedules__schedule_id__active_patch: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ActiveBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_list_task_types_v0_task_types_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TaskTypes"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    worker_try_task_type_v0_task_types__task_type__try_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task_type: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Trial"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_list_tasks_v0_tasks_get: {
        parameters: {
            query?: {
                text?: string | null;
                sort?: "created_at" | "-created_at" | "name" | "-name";
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Tasks"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_create_task_v0_tasks_post: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TaskIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TaskOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_read_io_v0_tasks_io_data_get: {
        parameters: {
            query: {
                task_run_id: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IoData"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_read_io_content_v0_tasks_io_data_content_get: {
        parameters: {
            query: {
                task_run_id: string;
                direction: "input" | "output";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_get_task_v0_tasks__task_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TaskOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_update_task_v0_tasks__task_id__put: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                task_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TaskIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TaskOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_delete_task_v0_tasks__task_id__delete: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_list_users_v0_users_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
                text?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Users"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_check_email_v0_users_check_email_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AvailableView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_me_v0_users_me_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_change_me_v0_users_me_patch: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChangeSelfBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_read_user_v0_users__user_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_change_user_v0_users__user_id__patch: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChangeUserBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    identity_mail_initial_password_v0_users__user_id__initial_password_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MailedView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_list_runs_v0_workflow_runs_get: {
        parameters: {
            query?: {
                workflow_id?: string | null;
                /** @description Several are any of them. */
                state?: components["schemas"]["RunState"][] | null;
                trigger?: ("manual" | "schedule" | "event" | "webhook" | "parent_run" | "rerun") | null;
                /** @description Accepted then or later: an ISO 8601 instant. */
                created_from?: string | null;
                /** @description Accepted before: an ISO 8601 instant. */
                created_to?: string | null;
                /** @description Part of the workflow's name, the cause or the number, whatever the case, or a trace id, looked for in 5,000 runs a page, which may be empty and have a next one; or the id of a run or a task run. */
                text?: string | null;
                /** @description Runs that have not ended stand last when sorted by their end or duration. */
                sort?: "-created_at" | "created_at" | "-finished_at" | "finished_at" | "-duration" | "duration";
                cursor?: string | null;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunPage"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_follow_runs_v0_workflow_runs_events_get: {
        parameters: {
            query?: {
                workflow_id?: string | null;
            };
            header?: {
                "Last-Event-ID"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": {
                        data: string;
                        /** @enum {string} */
                        event: "runs" | "reset";
                        id: string;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_get_run_statistics_v0_workflow_runs_statistics_get: {
        parameters: {
            query?: {
                workflow_id?: string | null;
                /** @description Accepted then or later: an ISO 8601 instant. */
                created_from?: string | null;
                /** @description Accepted before: an ISO 8601 instant. */
                created_to?: string | null;
                /** @description IANA name: where days begin. */
                time_zone?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunStatistics"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_get_run_v0_workflow_runs__run_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunDetail"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_cancel_run_v0_workflow_runs__run_id__cancel_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StateAnswer"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_follow_run_v0_workflow_runs__run_id__events_get: {
        parameters: {
            query?: never;
            header?: {
                "Last-Event-ID"?: string | null;
            };
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": {
                        data: string;
                        /** @enum {string} */
                        event: "run" | "tasks" | "log";
                        id: string;
                    };
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_read_log_v0_workflow_runs__run_id__logs_get: {
        parameters: {
            query?: {
                task_run_id?: string | null;
                cursor?: string | null;
                limit?: number;
            };
            header?: never;
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogPage"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_pause_run_v0_workflow_runs__run_id__pause_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StateAnswer"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_rerun_v0_workflow_runs__run_id__rerun_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["RerunBody"] | null;
            };
        };
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accepted"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_resume_run_v0_workflow_runs__run_id__resume_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StateAnswer"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_answer_task_v0_workflow_runs__run_id__tasks__task_run_id__answer_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                run_id: string;
                task_run_id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["AnswerBody"] | null;
            };
        };
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnswerAnswer"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_list_items_v0_workflow_runs__run_id__tasks__task_run_id__items_get: {
        parameters: {
            query?: {
                state?: components["schemas"]["TaskState"] | null;
                /** @description That item, counted from 0, or later ones. */
                from_item?: number;
                cursor?: string | null;
                limit?: number;
            };
            header?: never;
            path: {
                run_id: string;
                task_run_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ItemPage"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_list_workflows_v0_workflows_get: {
        parameters: {
            query?: {
                text?: string | null;
                active?: boolean | null;
                sort?: "created_at" | "-created_at" | "name" | "-name";
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Workflows"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_create_workflow_v0_workflows_post: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["WorkflowIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkflowOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_get_workflow_v0_workflows__workflow_id__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkflowOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_update_workflow_v0_workflows__workflow_id__put: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["WorkflowIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkflowOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_delete_workflow_v0_workflows__workflow_id__delete: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_activate_workflow_v0_workflows__workflow_id__activate_patch: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkflowOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_create_composite_task_v0_workflows__workflow_id__composite_tasks_post: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: string | null;
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CompositeIn"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CompositeOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_deactivate_workflow_v0_workflows__workflow_id__deactivate_patch: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkflowOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_get_workflow_detail_v0_workflows__workflow_id__detail_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DetailOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    workflow_put_workflow_jobs_v0_workflows__workflow_id__jobs_put: {
        parameters: {
            query?: never;
            header?: {
                "if-match"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobPlacementIn"][];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ComposedOut"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    execution_start_run_v0_workflows__workflow_id__run_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["StartBody"] | null;
            };
        };
        responses: {
            /** @description Successful Response */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accepted"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_list_workflow_schedules_v0_workflows__workflow_id__schedules_get: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string | null;
            };
            header?: never;
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SchedulePage"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_create_schedule_v0_workflows__workflow_id__schedules_post: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
            };
            path: {
                workflow_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TimetableBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_change_workflow_schedule_v0_workflows__workflow_id__schedules__schedule_id__put: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                workflow_id: string;
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TimetableBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleView"];
                };
            };
            "4XX": components["responses"]["Refused"];
        };
    };
    scheduler_delete_workflow_schedule_v0_workflows__workflow_id__schedules__schedule_id__delete: {
        parameters: {
            query?: never;
            header?: {
                /** @description The ETag of what is changed. */
                "If-Match"?: string | null;
            };
            path: {
                workflow_id: string;
                schedule_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            "4XX": components["responses"]["Refused"];
        };
    };
}
